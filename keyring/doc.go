// Package keyring holds the keys: it wraps and unwraps keysets, seals and
// opens values, and keeps the live ring that a process works with. It knows no
// SQL and no domain types.
//
// # The hierarchy
//
// A [KEK] (key encryption key) lives in a KMS or in a file and wraps one
// thing: the [Keyset]. The keyset holds the DEKs (data encryption keys), which
// are Tink AEAD keys: one primary, at most one staged, some retired. A DEK
// seals values. So a process asks its KMS once when it starts and once each
// time the keyset changes, and never to read or write a value.
//
// # Sealing
//
// [Ring.Seal] encrypts under the primary DEK and binds the result to one
// place, its [Binding]: the logical table and column, the tenant and the row.
// [Ring.Open] needs the same binding; anywhere else the value does not open.
// A sealed value is Tink's own wire format:
//
//	0x01 ‖ key id, 4 bytes big-endian ‖ nonce ‖ ciphertext ‖ tag
//
// # The life of a key
//
// [Stage] adds a key that nobody seals with yet, so that every process can
// load it first. [Promote] makes it primary and retires the one before.
// [Destroy] removes a retired key. Each is a pure transformation of a keyset;
// [Apply] runs one against a [Storage]: it unwraps the stored keyset, takes the
// step, wraps the result under every KEK, unwraps each wrap again to verify
// it, and swaps it in by compare-and-swap.
//
// # The live ring
//
// [Load] gives a [Ring], safe for concurrent use. Readers take no lock: a
// changed keyset is built aside and swapped in. The ring polls its storage, and
// reloads at once when it meets a key that it does not know. It serves on with
// the keys it holds when the KEK or the storage fails, says so in
// [Ring.Status], and refuses to seal when the stored keyset was rolled back.
package keyring
