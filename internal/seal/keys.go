package seal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"parvis"
)

// Keys are the secret keys of an installation. They print as "[sealed]".
type Keys struct {
	master    []byte
	assertion *ecdsa.PrivateKey
	kid       string
	signer    note.Signer
	verifier  note.Verifier
}

// The files of the directory.
const (
	masterFile    = "master.key"    // 32 bytes, base64: everything sealed hangs on it
	assertionFile = "assertion.key" // P-256, PKCS #8, PEM
	auditFile     = "audit.key"     // Ed25519, signer and verifier as package note writes them

	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// OpenKeys reads the keys in dir, and makes those that are missing: a
// directory of its owner alone (0700), files of its owner alone (0600). It
// refuses a directory or a file that anybody else may enter, read or write,
// and a file that holds no key: it never writes over one. Several processes
// may open a new directory at the same time; all get the same keys.
func OpenKeys(dir string) (*Keys, error) {
	const op = "seal.OpenKeys"
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, &parvis.Error{Code: parvis.CodeUnavailable, Op: op, Err: err}
	}
	k := &Keys{}
	for _, step := range []func(string) error{private, k.openMaster, k.openAssertion, k.openNote} {
		if err := step(dir); err != nil {
			return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
		}
	}
	return k, nil
}

// String gives "[sealed]".
func (k *Keys) String() string { return sealed }

// GoString gives "[sealed]".
func (k *Keys) GoString() string { return sealed }

func (k *Keys) openMaster(dir string) error {
	text, err := keyFile(dir, masterFile, func() ([]byte, error) {
		var b [32]byte
		_, _ = rand.Read(b[:])
		return append(base64.StdEncoding.AppendEncode(nil, b[:]), '\n'), nil
	})
	if err != nil {
		return err
	}
	k.master, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(k.master) != 32 {
		return fmt.Errorf("%s does not hold a key", filepath.Join(dir, masterFile))
	}
	return nil
}

func (k *Keys) openAssertion(dir string) error {
	text, err := keyFile(dir, assertionFile, func() ([]byte, error) {
		der, err := x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
	})
	if err != nil {
		return err
	}
	unusable := fmt.Errorf("%s does not hold a P-256 key", filepath.Join(dir, assertionFile))
	block, _ := pem.Decode(text)
	if block == nil {
		return unusable
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return unusable
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return unusable
	}
	k.assertion = key
	k.kid = thumbprint(&key.PublicKey)
	return nil
}

// thumbprint names a public key by its contents (RFC 7638 §3.2: the required
// members only, in the order of their names, without blanks).
func thumbprint(key *ecdsa.PublicKey) string {
	point := must(key.Bytes()) // 4, X, Y
	half := base64.RawURLEncoding.EncodeToString
	sum := sha256.Sum256(must(json.Marshal(struct {
		Crv string `json:"crv"`
		Kty string `json:"kty"`
		X   string `json:"x"`
		Y   string `json:"y"`
	}{"P-256", "EC", half(point[1:33]), half(point[33:])})))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (k *Keys) openNote(dir string) error {
	text, err := keyFile(dir, auditFile, func() ([]byte, error) {
		signer, verifier, err := note.GenerateKey(rand.Reader, "parvis")
		return []byte(signer + "\n" + verifier + "\n"), err
	})
	if err != nil {
		return err
	}
	signer, verifier, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if k.signer, err = note.NewSigner(signer); err == nil {
		k.verifier, err = note.NewVerifier(verifier)
	}
	if err != nil || k.signer.KeyHash() != k.verifier.KeyHash() {
		return fmt.Errorf("%s does not hold a pair of keys", filepath.Join(dir, auditFile))
	}
	return nil
}

// derive gives the key of a purpose. The use is part of the name, so that no
// box and no MAC ever share one.
func (k *Keys) derive(use, purpose string) []byte {
	return must(hkdf.Key(sha256.New, k.master, nil, "parvis 1 "+use+" "+purpose, 32))
}

// Box gives the box of a purpose ("totp", "return"). Making one costs a few
// microseconds; keep it.
func (k *Keys) Box(purpose string) *Box { return newBox(k.derive("box", purpose)) }

// MAC gives the HMAC-SHA-256 of the parts under the key of a purpose. Each
// part goes with its length, so that ("ab", "c") is not ("a", "bc").
func (k *Keys) MAC(purpose string, data ...[]byte) [32]byte {
	mac := hmac.New(sha256.New, k.derive("mac", purpose))
	for _, part := range data {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write(part)
	}
	return [32]byte(mac.Sum(nil))
}

// Assertion gives the P-256 key that signs what applications are told about
// an agent, and its name: the RFC 7638 thumbprint.
func (k *Keys) Assertion() (key *ecdsa.PrivateKey, kid string) { return k.assertion, k.kid }

// Note gives the Ed25519 pair that signs and checks the heads of the audit trail.
func (k *Keys) Note() (note.Signer, note.Verifier) { return k.signer, k.verifier }

// private refuses what is not its owner's alone.
func private(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	want := fileMode
	if info.IsDir() {
		want = dirMode
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s can be used by others than its owner (mode %04o): run chmod %04o %s", path, mode, want, path)
	}
	return nil
}

// keyFile reads a key, or makes it. The file appears under its name whole and
// on disk, or not at all; when two make it, the first one counts.
func keyFile(dir, name string, generate func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(dir, name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		text, err := generate()
		if err != nil {
			return nil, err
		}
		if err := place(dir, path, text); err != nil {
			return nil, err
		}
	}
	if err := private(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func place(dir, path string, text []byte) error {
	f, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link and not a rename: it never replaces a key that is there.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
