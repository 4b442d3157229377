package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// Secret is text that must not be shown. Every way of printing, logging or
// marshalling it gives "[sealed]"; only [Secret.Reveal] gives it back.
type Secret string

const sealed = "[sealed]"

// Reveal gives the secret. Whoever calls it answers for where it goes.
func (s Secret) Reveal() string { return string(s) }

// String gives "[sealed]".
func (s Secret) String() string { return sealed }

// GoString gives "[sealed]".
func (s Secret) GoString() string { return sealed }

// Format writes "[sealed]" for every verb: without it a wrong one, such as
// %d, would print the secret as part of its complaint. (%p cannot be stopped;
// go vet refuses it.)
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, sealed) }

// LogValue gives "[sealed]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(sealed) }

// MarshalText gives "[sealed]", hence so do JSON, XML and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(sealed), nil }

// Token makes a secret of 256 random bits, 43 signs of base64url, and the
// hash under which to keep it.
func Token() (secret string, hash [32]byte) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	secret = base64.RawURLEncoding.EncodeToString(b[:])
	return secret, Hash(secret)
}

// Hash is the SHA-256 of a secret. It is only for secrets with as many random
// bits as those of [Token]: what a person chose needs a slow, salted hash.
func Hash(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }
