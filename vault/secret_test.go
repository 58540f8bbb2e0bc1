package vault_test

// What a Secret never shows: each way a Go program prints, logs, encodes or
// crashes, searched for the credential in the forms it could take.

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
)

// canary is the credential of these tests, made at run time so that no scanner
// takes this file for a leak.
func canary() string { return "xoxb-" + strings.Join([]string{"7141", "3920", "cAnArYtOkEn"}, "-") }

// leak names the form in which out holds six bytes or more of the canary, or
// returns "".
func leak(out string) string {
	text := canary()
	for i := range len(text) - 5 {
		part := []byte(text[i : i+6])
		for form, leaked := range map[string]string{
			"text":         string(part),
			"hex":          hex.EncodeToString(part),
			"HEX":          strings.ToUpper(hex.EncodeToString(part)),
			"spaced hex":   fmt.Sprintf("% x", part),
			"base64":       base64.StdEncoding.EncodeToString(part),
			"base64url":    base64.URLEncoding.EncodeToString(part),
			"byte list":    strings.Trim(fmt.Sprint(part), "[]"),
			"JSON numbers": strings.ReplaceAll(strings.Trim(fmt.Sprint(part), "[]"), " ", ","),
			"Go bytes":     strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"),
		} {
			if strings.Contains(out, leaked) {
				return form
			}
		}
	}
	return ""
}

// requireSealed fails if out holds the canary. It does not print out.
func requireSealed(t *testing.T, where, out string) {
	t.Helper()
	if form := leak(out); form != "" {
		require.Fail(t, "the credential leaked", "%s, as %s", where, form)
	}
}

// The search itself finds what it must.
func TestLeakIsFound(t *testing.T) {
	t.Parallel()
	b := []byte("a" + canary() + "z")
	numbers, err := json.Marshal([]uint16{uint16(b[3]), uint16(b[4]), uint16(b[5]), uint16(b[6]), uint16(b[7]), uint16(b[8])})
	require.NoError(t, err)
	for _, out := range []string{
		string(b[:8]), fmt.Sprint(b), fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), fmt.Sprintf("% x", b),
		fmt.Sprintf("%#v", b), base64.StdEncoding.EncodeToString(b), string(numbers),
	} {
		require.NotEmpty(t, leak(out))
	}
	require.Empty(t, leak("[redacted]"))
}

type (
	shown  struct{ Token vault.Secret }
	hidden struct{ token vault.Secret }
	nested struct {
		Name  string
		Inner *hidden
		Any   any
	}
)

// holders gives the canary in every shape that a value is held in.
func holders() map[string]any {
	s := vault.NewSecret(canary())
	p := &s
	return map[string]any{
		"value":           s,
		"pointer":         p,
		"pointer pointer": &p,
		"slice":           []vault.Secret{s},
		"pointer slice":   []*vault.Secret{&s},
		"array":           [1]vault.Secret{s},
		"map":             map[string]vault.Secret{"token": s},
		"any slice":       []any{s, &s},
		"field":           shown{s},
		"field pointer":   &shown{s},
		"unexported":      hidden{s},
		"unexported *":    &hidden{s},
		"nested":          nested{"n", &hidden{s}, s},
		"nested *":        &nested{"n", &hidden{s}, &s},
		"anonymous":       struct{ any }{s},
		"deep map":        map[string]any{"a": map[string]hidden{"b": {s}}},
	}
}

func TestSecretUnderEveryVerb(t *testing.T) {
	t.Parallel()
	for name, v := range holders() {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspwz" {
			for _, flags := range []string{"", "+", "#", "+#", " ", "-", "0", "10", ".3", "# ", "-40.2"} {
				format := "%" + flags + string(verb)
				out := fmt.Sprintf(format, v)
				requireSealed(t, name+" under "+format, out)
				if name == "value" && !strings.ContainsRune("Tpw", verb) {
					require.Equal(t, "[redacted]", out, format)
				}
			}
		}
		requireSealed(t, name+" printed", fmt.Sprint(v)+fmt.Sprintln(v))
		for _, format := range []string{"call: %w", "call: %v", "call: %d, %[1]q"} {
			requireSealed(t, name+" in an error", fmt.Errorf(format, v).Error())
		}
	}
	s := vault.NewSecret(canary())
	require.Equal(t, "[redacted]", s.String())
	require.Equal(t, "[redacted]", s.GoString())
	require.Equal(t, "{Token:[redacted]}", fmt.Sprintf("%+v", shown{s}))
}

func TestSecretInLogs(t *testing.T) {
	t.Parallel()
	for name, v := range holders() {
		var out bytes.Buffer
		for _, h := range []slog.Handler{
			slog.NewTextHandler(&out, nil),
			slog.NewJSONHandler(&out, nil),
			slog.NewJSONHandler(&out, nil).WithAttrs([]slog.Attr{slog.Any("before", v)}),
		} {
			log := slog.New(h)
			log.Info("direct", "v", v)
			log.With("with", v).WithGroup("g").Info("in a group", slog.Group("h", "v", v))
		}
		requireSealed(t, name+" logged", out.String())
		if name == "value" || name == "pointer" {
			require.Equal(t, 11, strings.Count(out.String(), "[redacted]"), name)
		}
	}
}

func TestSecretIsNeverEncoded(t *testing.T) {
	t.Parallel()
	s := vault.NewSecret(canary())
	encode := map[string]func(v any) ([]byte, error){
		"JSON": json.Marshal,
		"XML":  xml.Marshal,
		"gob": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
	}
	for format, marshal := range encode {
		for name, v := range map[string]any{"value": s, "pointer": &s, "slice": []vault.Secret{s}, "field": shown{s}} {
			out, err := marshal(v)
			require.ErrorContains(t, err, "never encoded", "%s of a %s", format, name)
			requireSealed(t, format, string(out)+err.Error())
		}
		for name, v := range holders() {
			out, err := marshal(v)
			requireSealed(t, format+" of "+name, fmt.Sprint(string(out), err))
			require.NotContains(t, string(out), "redacted", "%s of %s is stored as if it were the credential", format, name)
		}
	}
	_, err := xml.Marshal(struct {
		XMLName xml.Name     `xml:"install"`
		Token   vault.Secret `xml:"token,attr"`
	}{Token: s})
	require.ErrorContains(t, err, "never encoded")
	for _, marshal := range []func() ([]byte, error){
		s.MarshalText, s.MarshalBinary, s.GobEncode, s.MarshalJSON, vault.Secret{}.MarshalJSON,
	} {
		out, err := marshal()
		require.Error(t, err)
		require.Nil(t, out)
	}
	out, err := json.Marshal(struct {
		Token vault.Secret `json:"token,omitzero"`
		Other vault.Secret `json:"-"`
	}{Other: s})
	require.NoError(t, err)
	require.JSONEq(t, "{}", string(out))
}

// gobText is encoded as gob encodes a Secret's type: by its own method.
type gobText struct{}

func (gobText) GobEncode() ([]byte, error) { return []byte("other"), nil }

func TestNothingDecodesIntoASecret(t *testing.T) {
	t.Parallel()
	s := vault.NewSecret(canary())
	var stream bytes.Buffer
	require.NoError(t, gob.NewEncoder(&stream).Encode(gobText{}))
	for name, err := range map[string]error{
		"JSON string":   json.Unmarshal([]byte(`"other"`), &s),
		"JSON null":     json.Unmarshal([]byte(`null`), &s),
		"JSON field":    json.Unmarshal([]byte(`{"Token":"other"}`), &struct{ Token *vault.Secret }{&s}),
		"XML element":   xml.Unmarshal([]byte(`<Secret>other</Secret>`), &s),
		"XML field":     xml.Unmarshal([]byte(`<a><Token>other</Token></a>`), &struct{ Token *vault.Secret }{&s}),
		"XML attribute": s.UnmarshalXMLAttr(xml.Attr{Value: "other"}),
		"gob":           gob.NewDecoder(&stream).Decode(&s),
		"text":          encoding.TextUnmarshaler(&s).UnmarshalText([]byte("other")),
		"binary":        encoding.BinaryUnmarshaler(&s).UnmarshalBinary([]byte("other")),
		"SQL text":      s.Scan("other"),
		"SQL NULL":      s.Scan(nil),
	} {
		require.ErrorContains(t, err, "call NewSecret", name)
		require.NotContains(t, err.Error(), "other", name)
	}
	require.True(t, s.Equal(vault.NewSecret(canary())), "a failed decoding changed the Secret")
}

// report is a test that fails, and keeps what it would have printed.
type report struct{ strings.Builder }

func (r *report) Errorf(format string, args ...any) { fmt.Fprintf(r, format, args...) }

func (r *report) FailNow() {}

func TestSecretInATestsFailure(t *testing.T) {
	t.Parallel()
	for name, v := range holders() {
		var r report
		require.Equal(&r, nested{Name: "other"}, v)
		require.Equal(&r, v, holders()[name])
		require.EqualValues(&r, v, holders()[name])
		require.ElementsMatch(&r, []any{v}, []any{1})
		require.Contains(&r, []any{v}, 1)
		require.Empty(&r, v)
		require.Nil(&r, v)
		require.Positive(t, r.Len())
		requireSealed(t, name+" in a failure message", r.String())
	}
}

type secretError struct{ token vault.Secret }

func (e secretError) Error() string {
	return fmt.Sprintf("refused %v of %+v", e.token, struct{ t any }{e.token})
}

//go:noinline
func crash(s vault.Secret, p *vault.Secret) { panic(fmt.Sprintf("frame %v %v", s, p)) }

// TestSecretInAPanic runs itself again as a process that panics.
func TestSecretInAPanic(t *testing.T) {
	t.Parallel()
	const child = "STRONGROOM_TEST_PANIC"
	s := vault.NewSecret(canary())
	values := map[string]any{
		"value": s, "pointer": &s, "field": shown{s}, "unexported": hidden{s}, "pointer to field": &shown{s},
		"error": secretError{s}, "wrapped error": fmt.Errorf("%w: %v", secretError{s}, s),
		"slice": []vault.Secret{s}, "frame": nil,
	}
	if v, ok := values[os.Getenv(child)]; ok {
		if v == nil {
			crash(s, &s)
		}
		panic(v)
	}
	for name := range values {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecretInAPanic$")
		cmd.Env = append(os.Environ(), child+"="+name, "GOTRACEBACK=system")
		out, err := cmd.CombinedOutput()
		require.Error(t, err, name)
		require.Contains(t, string(out), "panic: ", name)
		require.Contains(t, string(out), "goroutine ", name)
		requireSealed(t, "a panic with "+name, string(out))
	}
}

func TestSecretGivesAndCompares(t *testing.T) {
	t.Parallel()
	source := []byte(canary())
	s := vault.NewSecretBytes(source)
	clear(source)
	require.True(t, s.Reveal() == canary(), "the Secret aliases the bytes it was made from")
	require.Equal(t, len(canary()), s.Len())
	itself := s
	require.True(t, s.Equal(itself))
	require.True(t, s.Equal(vault.NewSecret(canary())))
	require.False(t, s.Equal(vault.NewSecret(canary()+"x")))
	require.False(t, s.Equal(vault.Secret{}))

	var none vault.Secret
	empty := vault.NewSecret("")
	require.True(t, none.IsZero())
	require.False(t, empty.IsZero())
	require.False(t, vault.NewSecretBytes(nil).IsZero())
	require.True(t, none.Equal(vault.Secret{}))
	require.True(t, empty.Equal(vault.NewSecretBytes(nil)))
	require.False(t, none.Equal(empty))
	require.False(t, empty.Equal(none))
	require.Zero(t, none.Len()+empty.Len())
	require.Empty(t, none.Reveal()+empty.Reveal())
	none.Clear()
	require.True(t, none.IsZero())
	require.Equal(t, "[redacted]", none.String(), "formatting must not tell whether there is a credential")
}

func TestSecretCleared(t *testing.T) {
	t.Parallel()
	s := vault.NewSecret(canary())
	copied := s
	s.Clear()
	for _, gone := range []vault.Secret{s, copied} {
		require.Empty(t, gone.Reveal())
		require.Zero(t, gone.Len())
		require.False(t, gone.IsZero())
		require.True(t, gone.Equal(vault.NewSecret("")))
	}
	s.Clear()
	require.False(t, s.IsZero())
}

// Meaningful under the race detector: a credential is whole or gone.
func TestSecretIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	a, b := vault.NewSecret(canary()), vault.NewSecret(canary())
	var wg sync.WaitGroup
	var halves atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				if text := a.Reveal(); text != "" && text != canary() {
					halves.Add(1)
				}
				_ = a.Equal(b)
				_ = b.Equal(a)
			}
			if i == 7 {
				a.Clear()
				b.Clear()
			}
		})
	}
	wg.Wait()
	require.Zero(t, halves.Load(), "half a credential")
	require.True(t, a.Equal(b))
}
