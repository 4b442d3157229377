package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"parvis"
)

// ErrExpired says that a ticket was good, and that its time is over.
var ErrExpired = errors.New("the ticket has expired")

// Box seals and opens for one purpose. It may be used by many goroutines.
type Box struct {
	block cipher.Block // AES-256 under the key of the purpose
	first [16]byte     // the K1 of CMAC (SP 800-38B §6.1)
}

const (
	nonceSize = 24
	tagSize   = 16
)

func newBox(key []byte) *Box {
	b := &Box{block: must(aes.NewCipher(key))}
	b.block.Encrypt(b.first[:], b.first[:])
	var carry byte
	for i := len(b.first) - 1; i >= 0; i-- {
		b.first[i], carry = b.first[i]<<1|carry, b.first[i]>>7
	}
	b.first[15] ^= byte(subtle.ConstantTimeSelect(int(carry), 0x87, 0))
	return b
}

// aead gives AES-256-GCM under a key derived from the first half of the nonce,
// as C2SP XAES-256-GCM does. GCM alone has 96-bit nonces, which may not be
// drawn at random more than 2^32 times; 192 bits may be drawn for ever.
func (b *Box) aead(nonce []byte) cipher.AEAD {
	var key [32]byte
	for i := range 2 {
		half := key[16*i : 16*i+16]
		copy(half, []byte{0, byte(i + 1), 'X', 0})
		copy(half[4:], nonce[:12])
		subtle.XORBytes(half, half, b.first[:])
		b.block.Encrypt(half, half)
	}
	return must(cipher.NewGCM(must(aes.NewCipher(key[:]))))
}

// must is for what cannot fail with keys of the right size; going on without
// encryption is no choice.
func must[T any](v T, err error) T {
	if err != nil {
		panic("seal: " + err.Error())
	}
	return v
}

// Seal encrypts plain so that only this box, told the same bound, opens it.
// Bound says where it belongs ("totp/A100001"), so that what is sealed for one
// row cannot be moved to another. The result is 40 bytes longer.
func (b *Box) Seal(plain []byte, bound string) []byte {
	out := make([]byte, nonceSize, nonceSize+len(plain)+tagSize)
	_, _ = rand.Read(out)
	return b.aead(out).Seal(out, out[12:nonceSize], plain, []byte(bound))
}

// Open gives back what Seal was given; [parvis.CodeInvalid] for anything else.
func (b *Box) Open(sealed []byte, bound string) ([]byte, error) {
	if len(sealed) < nonceSize+tagSize {
		return nil, invalid("seal.Open", errors.New("too short"))
	}
	plain, err := b.aead(sealed).Open(nil, sealed[12:nonceSize], sealed[nonceSize:], []byte(bound))
	if err != nil {
		return nil, invalid("seal.Open", err)
	}
	return plain, nil
}

// Tickets are bound to this, so that no sealed row passes for one.
const ticketBound = "ticket"

// Issue makes a ticket: payload as JSON, sealed, good until ttl after at, in
// signs that need no escaping in a URL. It fails only when payload has no JSON.
func (b *Box) Issue(payload any, at time.Time, ttl time.Duration) (string, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return "", &parvis.Error{Code: parvis.CodeInternal, Op: "seal.Issue", Err: err}
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(at.Add(ttl).UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(b.Seal(append(plain, body...), ticketBound)), nil
}

// The longest ticket that is looked at: longer ones are nobody's.
const maxTicket = 24 << 10

// Redeem opens a ticket into payload, a pointer. A ticket whose time is over
// gives an error that errors.Is tells as [ErrExpired]; any other string gives
// [parvis.CodeInvalid], as does the expired one. Nothing is read from a ticket
// before it is known to be ours.
func (b *Box) Redeem(ticket string, at time.Time, payload any) error {
	const op = "seal.Redeem"
	if len(ticket) > maxTicket {
		return invalid(op, errors.New("too long"))
	}
	// One ticket has one spelling: Strict refuses stray bits, but line breaks
	// are skipped even so.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(ticket)
	if err != nil || strings.ContainsAny(ticket, "\r\n") {
		return invalid(op, errors.New("not base64url")) // the error of base64 would say where
	}
	plain, err := b.Open(raw, ticketBound)
	if err != nil {
		return err
	}
	if len(plain) < 8 {
		return invalid(op, errors.New("too short"))
	}
	if at.UnixMicro() >= int64(binary.BigEndian.Uint64(plain)) {
		return invalid(op, ErrExpired)
	}
	if err := json.Unmarshal(plain[8:], payload); err != nil {
		return invalid(op, errors.New("the payload is of another kind"))
	}
	return nil
}

func invalid(op string, err error) error {
	return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
}
