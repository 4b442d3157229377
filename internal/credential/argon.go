package credential

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"parvis"
)

// What one hash costs. The memory is fixed and only the number of passes is
// calibrated, so that the bounds of the pool are exact.
const (
	memoryKiB = 46 << 10 // OWASP ASVS 5.0 11.4.2: m >= 46 MiB with t = 1, p = 1
	hashBytes = memoryKiB << 10
	minPasses = 1
	maxPasses = 16
	saltSize  = 16 // ANSSI R28: at least 128 bits
	keySize   = 32
)

// The most a stored hash may ask for: what is in the database must not be
// able to exhaust the machine either.
const (
	maxMemoryKiB = 256 << 10
	maxThreads   = 4
)

// phc is a stored hash: https://github.com/P-H-C/phc-string-format, the form
// that every Argon2 library reads.
type phc struct {
	memory, passes uint32
	threads        uint8
	salt, key      []byte
}

// cost is what a hash takes: KiB of memory, passes over it.
type cost struct{ memory, passes uint32 }

var b64 = base64.RawStdEncoding.Strict()

// parsePHC reads a stored hash. It is strict: one spelling for each value, the
// parameters in their order, nothing beyond the bounds above.
func parsePHC(s string) (phc, error) {
	fail := func(why string) (phc, error) {
		return phc{}, &parvis.Error{Code: parvis.CodeInternal, Op: "credential.parsePHC", Err: errors.New(why)}
	}
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return fail("not an Argon2id string")
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return fail("three parameters are needed")
	}
	var n [3]uint64
	for i, bound := range []struct {
		name     string
		from, to uint64
	}{{"m=", 8 * maxThreads, maxMemoryKiB}, {"t=", minPasses, maxPasses}, {"p=", 1, maxThreads}} {
		digits, ok := strings.CutPrefix(costs[i], bound.name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(v, 10) != digits || v < bound.from || v > bound.to {
			return fail("a parameter is out of bounds")
		}
		n[i] = v
	}
	salt, err := b64.DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return fail("the salt cannot be read")
	}
	key, err := b64.DecodeString(parts[5])
	if err != nil || len(key) < 16 || len(key) > 64 {
		return fail("the key cannot be read")
	}
	// The decoder skips line breaks; two spellings of one hash are one too many.
	if strings.ContainsAny(s, "\r\n") {
		return fail("a line break inside")
	}
	return phc{memory: uint32(n[0]), passes: uint32(n[1]), threads: uint8(n[2]), salt: salt, key: key}, nil
}

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// weaker tells whether h costs less than a hash made now.
func (h phc) weaker(c cost) bool {
	return h.memory < c.memory || h.passes < c.passes || len(h.salt) < saltSize || len(h.key) < keySize
}

// newPHC hashes a peppered password. It takes the memory that c names: only
// the pool calls it.
func newPHC(peppered [32]byte, c cost) phc {
	h := phc{memory: c.memory, passes: c.passes, threads: 1, salt: make([]byte, saltSize)}
	_, _ = rand.Read(h.salt) // never fails: crypto/rand ends the program instead
	h.key = h.derive(peppered, keySize)
	return h
}

// holds compares in constant time. It takes the memory that h names: only the
// pool calls it.
func (h phc) holds(peppered [32]byte) bool {
	return subtle.ConstantTimeCompare(h.derive(peppered, len(h.key)), h.key) == 1
}

func (h phc) derive(peppered [32]byte, size int) []byte {
	return argon2.IDKey(peppered[:], h.salt, h.passes, h.memory, h.threads, uint32(size))
}

// dummy is what the password of nobody is compared with: a hash of the right
// shape and cost that no password gives.
func dummy(c cost) phc {
	return phc{memory: c.memory, passes: c.passes, threads: 1, salt: make([]byte, saltSize), key: make([]byte, keySize)}
}
