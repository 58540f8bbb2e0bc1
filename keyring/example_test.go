package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/keyring"
)

func ExampleBinding_AssociatedData() {
	b := keyring.Binding{Table: "integrations", Column: "access_token", Tenant: "ws_acme", Row: "r1"}
	fmt.Printf("%q\n", b.AssociatedData())
	// Output: "\x00\x00\x00\x13strongroom/v1/value\x00\x00\x00\fintegrations\x00\x00\x00\faccess_token\x00\x00\x00\aws_acme\x00\x00\x00\x02r1"
}

func ExampleCreateLocalKEK() {
	folder, err := os.MkdirTemp("", "kek")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "kek.json")

	if _, err := keyring.CreateLocalKEK(path); err != nil {
		panic(err)
	}
	_, err = keyring.CreateLocalKEK(path)
	fmt.Println("made twice:", !errors.Is(err, os.ErrExist))

	_, err = keyring.OpenKEK(context.Background(), "local-keyset://"+path, nil)
	fmt.Println("opened:", err == nil)
	// Output:
	// made twice: false
	// opened: true
}

// A KEK of your own joins by a scheme of your own.
func ExampleOpenKEK() {
	openers := map[string]keyring.Opener{
		"my-hsm": func(_ context.Context, uri string) (keyring.KEK, error) {
			return keyring.EphemeralKEK(), nil // yours would reach the HSM that uri names
		},
	}
	_, err := keyring.OpenKEK(context.Background(), "my-hsm://slot/1", openers)
	fmt.Println(err)
	_, err = keyring.OpenKEK(context.Background(), "other://x", openers)
	fmt.Println(errors.Is(err, keyring.ErrInvalid))
	// Output:
	// <nil>
	// true
}

func ExampleRing_Seal() {
	ctx := context.Background()
	storage, keks := &memory{}, []keyring.KEK{keyring.EphemeralKEK()}
	if _, err := keyring.Create(ctx, storage, keyring.DefaultKeyset, keyring.AES256GCM, keks, "example"); err != nil {
		panic(err)
	}
	ring, err := keyring.Load(ctx, storage, keks, quietConfig(nil))
	if err != nil {
		panic(err)
	}
	defer func() { _ = ring.Close() }()

	place := keyring.Binding{Table: "integrations", Column: "access_token", Tenant: "ws_acme", Row: "r1"}
	_, sealed, err := ring.Seal([]byte("a token"), place)
	if err != nil {
		panic(err)
	}
	opened, err := ring.Open(ctx, sealed, place)
	fmt.Println(string(opened), err)

	place.Tenant = "ws_globex"
	_, err = ring.Open(ctx, sealed, place)
	fmt.Println(err)
	// Output:
	// a token <nil>
	// sealed value does not open
}
