package page

import (
	"context"
	"io"
)

// AutoPost is a form that hands an answer to another site: a script posts it at
// once, without scripts its button does. Action is https, or http on a loopback
// address; the caller adds its origin to form-action of the answer's policy.
type AutoPost struct {
	Action string
	Fields []Hidden
	Button Button
}

// Frames asks pages of other sites for something, out of sight, such as to sign
// the visitor out there (OpenID Connect Front-Channel Logout 1.0 §2). Then, unless
// it has no text, leads on: a script follows it once they have answered, or after
// five seconds. The caller adds the origins to frame-src of the answer's policy.
type Frames struct {
	URLs []string
	Then Button
}

// Render writes the piece.
func (a AutoPost) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, autoPost(a)) }

// Render writes the piece.
func (f Frames) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, frames(f)) }
