package pgserver

// What the tests need to see of a server from outside its process.

var CommandLine = commandLine

func (s *Server) Folder() string { return s.folder.path }

func (s *Server) SupervisorPID() int { return s.supervisor.script.Process.Pid }

func (s *Server) ServerPID() (int, error) { return serverPID(s.folder.path) }
