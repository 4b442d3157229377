package seal

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// The test vectors of C2SP XAES-256-GCM, one for each value of the carry.
func TestBoxIsXAES256GCM(t *testing.T) {
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	for _, tt := range []struct {
		key         byte
		aad, sealed string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		b := newBox(bytes.Repeat([]byte{tt.key}, 32))
		if got := hex.EncodeToString(b.aead(nonce).Seal(nil, nonce[12:], []byte("XAES-256-GCM"), []byte(tt.aad))); got != tt.sealed {
			t.Errorf("key %d: sealed %s, want %s", tt.key, got, tt.sealed)
		}
	}
}

// The example of RFC 7638 is RSA; this P-256 key is that of RFC 7517 §A.1,
// whose thumbprint other implementations give.
func TestThumbprintReadsThePublicKeyAlone(t *testing.T) {
	x, err := base64.RawURLEncoding.DecodeString("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4")
	if err != nil {
		t.Fatal(err)
	}
	y, err := base64.RawURLEncoding.DecodeString("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := thumbprint(key), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNoKeyIsBetterThanABadOne(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("no entropy")
	if _, err := keyFile(dir, "x", func() ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("a key that could not be made: got %v", err)
	}
	if _, err := keyFile(filepath.Join(dir, "nowhere"), "x", func() ([]byte, error) { return nil, nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory for a key: got %v", err)
	}
	if err := place(filepath.Join(dir, "nowhere"), filepath.Join(dir, "x"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v", err)
	}
	missing := filepath.Join(dir, "nowhere", "x")
	if err := place(dir, missing, []byte("k")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no place for the file: got %v", err)
	}
	if err := private(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	// One that is there is never replaced.
	path := filepath.Join(dir, "x")
	for _, text := range []string{"first", "second"} {
		if err := place(dir, path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "first" {
		t.Errorf("got %q, %v", text, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an impossible failure went unnoticed")
		}
	}()
	must(0, broken)
}
