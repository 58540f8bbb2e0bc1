package main

// The flags that every subcommand has, and the environment that stands in for
// them. It is read after the flags: a default is shown by --help, and DATABASE_URL
// holds a password.

import (
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strongroom/strongroom/keyring"
)

// maxActor bounds the name in the key history, in bytes.
const maxActor = 200

// flags are the flags as given.
type flags struct {
	databaseURL string
	keks        []string
	actor       string
	timeout     time.Duration
	json        bool
	logFormat   string
	template    string // of init only
}

// settings are flags and environment, judged.
type settings struct {
	database *pgxpool.Config
	keks     []string // URIs; the first wraps first
	actor    string
	timeout  time.Duration // 0: the subcommand's own
	json     bool
	logger   *slog.Logger
	template keyring.Template
}

// environment names the variable of each flag that has one.
var environment = []struct{ flag, variable string }{
	{"database-url", "DATABASE_URL"},
	{"kek", "STRONGROOM_KEK"},
	{"actor", "STRONGROOM_ACTOR"},
	{"timeout", "STRONGROOM_TIMEOUT"},
	{"log-format", "STRONGROOM_LOG_FORMAT"},
	{"template", "STRONGROOM_TEMPLATE"},
}

func (f *flags) register(set *pflag.FlagSet) {
	set.StringVar(&f.databaseURL, "database-url", "", "`URL` of the database, postgres://user@host/database; DATABASE_URL if not given")
	set.StringArrayVar(&f.keks, "kek", nil, "`URI` of the KEK, local-keyset://PATH; may be repeated: the first is used first, the others stand by")
	set.StringVar(&f.actor, "actor", "", "`NAME` for the key history: who does this (default: user@host)")
	set.DurationVar(&f.timeout, "timeout", 0, "give up after this long (default: 1m; migrate up and down: 10m)")
	set.BoolVar(&f.json, "json", false, "print one JSON object instead of text")
	set.StringVar(&f.logFormat, "log-format", "text", "`FORMAT` of warnings on stderr: text or json")
}

// settings reads the environment for the flags that were not given, and judges
// all. What is wrong is a usageError.
func (p *program) settings(cmd *cobra.Command) (*settings, error) {
	set := cmd.Flags()
	if err := p.readEnvironment(set); err != nil {
		return nil, err
	}
	f := p.flags
	s := &settings{keks: f.keks, actor: f.actor, timeout: f.timeout, json: f.json, template: keyring.Template(f.template)}
	if f.timeout < 0 || (f.timeout == 0 && set.Changed("timeout")) {
		return nil, usagef("--timeout: want a positive duration such as 90s or 5m")
	}
	if f.actor == "" {
		s.actor = defaultActor()
	}
	if !isName(s.actor) {
		return nil, usagef("--actor: want a name of at most %d bytes on one line", maxActor)
	}
	if set.Lookup("template") != nil && s.template.Validate() != nil {
		return nil, usagef("--template: want %s or %s", keyring.AES256GCM, keyring.XAES256GCM)
	}
	var err error
	if s.logger, err = p.logger(f.logFormat); err != nil {
		return nil, err
	}
	s.database, err = parseDatabaseURL(f.databaseURL)
	return s, err
}

// readEnvironment sets the flags that were not given. A variable that is empty
// counts as not there.
func (p *program) readEnvironment(set *pflag.FlagSet) error {
	for _, e := range environment {
		value := strings.TrimSpace(p.getenv(e.variable))
		if value == "" || set.Lookup(e.flag) == nil || set.Changed(e.flag) {
			continue
		}
		values := []string{value}
		if e.flag == "kek" {
			values = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
		}
		for _, v := range values {
			if err := set.Set(e.flag, v); err != nil {
				return usagef("%s: the value is not of the right kind", e.variable)
			}
		}
	}
	return nil
}

// logger shows warnings and errors: a run that goes well writes nothing to
// stderr, so that cron sends no mail.
func (p *program) logger(format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.LevelWarn}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(p.stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(p.stderr, options)), nil
	default:
		return nil, usagef("--log-format: want text or json")
	}
}

func isName(text string) bool {
	return len(text) <= maxActor && utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0
}
