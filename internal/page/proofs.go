package page

import (
	"context"
	"encoding/base64"
	"io"

	"github.com/a-h/templ"
)

// Drawing is a picture made for this page alone, such as a code to be scanned.
// Alt says what it is for; what it holds stands beside it as text.
type Drawing struct {
	SVG []byte
	Alt string
}

// Copyable is a text to copy elsewhere by hand or with a button, in groups.
type Copyable struct {
	ID, Label, Text string
}

// Codes are codes to print and keep, one line each. Print is the button that
// scripts show.
type Codes struct {
	List  []string
	Print string
}

// Passkey is a form that a script completes with the browser's answer (fields
// passkey and passkey_ticket); without scripts it is not shown. Make creates a
// passkey, otherwise one is asked for; Auto also offers it in the list of the
// identifier's field. Options is what the server asks (WebAuthn Level 3 §5.4, §5.5).
type Passkey struct {
	Action     string
	Options    []byte
	Ticket     string
	Make, Auto bool
	Hidden     []Hidden
	Body       templ.Component
	Button     Button
	Cancelled  string // said when the browser gave no answer
	Already    string // said when the device holds one already
	Unable     string // said when the browser cannot
	NoScript   string
}

func (d Drawing) source() string {
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(d.SVG)
}

// Render writes the piece.
func (d Drawing) Render(ctx context.Context, w io.Writer) error {
	return render(ctx, w, drawing(d))
}

// Render writes the piece.
func (c Copyable) Render(ctx context.Context, w io.Writer) error {
	return render(ctx, w, copyable(c))
}

// Render writes the piece.
func (c Codes) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, codes(c)) }

// Render writes the piece.
func (p Passkey) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, passkey(p)) }
