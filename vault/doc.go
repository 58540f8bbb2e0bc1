// Package vault keeps the credentials of third-party integrations (Slack, Pylon)
// in Postgres, sealed. It is what a service imports.
//
// # The promise
//
// No plaintext credential reaches the database, a log, an error or a dump. A
// stored credential is not lost: not by a crash, not by two processes at once,
// not by a key change, not by an outage of the KMS. A sealed value opens only in
// the place that it was sealed for: its column, its row, its workspace. Postgres
// itself enforces this where it can.
//
// # Setting up
//
// Once per database: run the migrations (package migrations, or `rotate-keys
// migrate up`) and make the keyset ([Init], or `rotate-keys init`). Then, in
// each process:
//
//	kek, err := keyring.OpenKEK(ctx, "local-keyset:///etc/strongroom/kek.json", nil)
//	…
//	v, err := vault.Open(ctx, pool, kek, nil)
//	…
//	defer v.Close(ctx)
//
// Open asks the KEK once; reading and writing never do.
//
// # Working with integrations
//
// [Integrations.Create] stores an integration, [Integrations.Install] creates or
// replaces one as an OAuth callback needs it. [Integrations.Get] and
// [Integrations.List] read metadata and open nothing;
// [Integrations.Credentials] opens, by an explicit call.
// [Integrations.OpenBySlackTeam] and [Integrations.OpenByPylonAccount] are for
// webhook handlers. Every other call names the workspace beside the integration
// ([Ref]).
//
// Credentials travel as [Secret], which prints as [redacted] everywhere. The
// config column is typed, [IntegrationConfig], and shared with services in other
// languages: what this library does not know it keeps, and an update never
// overwrites another writer's.
//
// [Vault.WithTx] gives the same calls in a transaction of the caller's.
//
// # Errors
//
// Few sentinels, for errors.Is: [ErrNotFound], [ErrInvalid], [ErrConflict],
// [ErrNotOpened] and the rest. Messages say what was attempted, on which id, and
// what to do; they never carry a credential or row data.
//
// # Tests
//
// Package vaulttest gives a test a ready vault on a real Postgres, in one line.
package vault
