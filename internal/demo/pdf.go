package demo

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// sheet is one page of A4, written from the top down, as a PDF file (ISO
// 32000-1) with the fonts that every reader has. The same sheet gives the same
// bytes. It is not tagged: what it says can also be read as a page.
type sheet struct {
	lang, title string
	at          time.Time // when it was drawn up

	body bytes.Buffer
	y    int // how far down, in points
}

const (
	sheetWidth, sheetHeight, margin = 595, 842, 64
	plainFont, boldFont             = "F1", "F2"
)

func (s *sheet) heading(t string) { s.put(boldFont, 16, 26, margin, t) }
func (s *sheet) strong(t string)  { s.put(boldFont, 11, 18, margin, t) }
func (s *sheet) line(t string)    { s.put(plainFont, 11, 18, margin, t) }
func (s *sheet) gap()             { s.y += 12 }

// row writes a label, and an amount against the right margin.
func (s *sheet) row(label, amount string) {
	s.put(plainFont, 11, 18, margin, label)
	s.put(plainFont, 11, 0, sheetWidth-margin-wide(amount)*11/1000, amount)
}

func (s *sheet) put(font string, size, down, x int, t string) {
	s.y += down
	fmt.Fprintf(&s.body, "BT /%s %d Tf %d %d Td (%s) Tj ET\n", font, size, x, sheetHeight-margin-s.y, winAnsi(t))
}

// wide is the width of an amount in Helvetica, in thousandths of its size
// (Adobe's font metrics).
func wide(amount string) int {
	n := 0
	for _, r := range amount {
		switch r {
		case ',', '.', ' ', '\u00a0':
			n += 278
		case '-':
			n += 333
		default: // figures and the sign of the euro
			n += 556
		}
	}
	return n
}

// winAnsi writes a text as a literal string in WinAnsiEncoding (ISO 32000-1,
// 7.3.4.2 and annex D).
func winAnsi(t string) string {
	t = strings.ReplaceAll(t, "\u202f", "\u00a0")
	b, err := encoding.ReplaceUnsupported(charmap.Windows1252.NewEncoder()).String(t)
	if err != nil { // no text of ours
		b = "?"
	}
	return strings.NewReplacer(`\`, `\\`, `(`, `\(`, `)`, `\)`, "\r", " ", "\n", " ").Replace(b)
}

// pdf writes the file: its objects, where each begins, and where that is told
// (ISO 32000-1, 7.5).
func (s *sheet) pdf() []byte {
	date := s.at.UTC().Format("D:20060102150405Z")
	objects := []string{
		fmt.Sprintf("<< /Type /Catalog /Pages 2 0 R /Lang (%s) /ViewerPreferences << /DisplayDocTitle true >> >>", winAnsi(s.lang)),
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R /Resources << /Font << /%s 5 0 R /%s 6 0 R >> >> >>", sheetWidth, sheetHeight, plainFont, boldFont),
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", s.body.Len(), s.body.Bytes()),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
		fmt.Sprintf("<< /Title (%s) /CreationDate (%s) /ModDate (%s) >>", winAnsi(s.title), date, date),
	}
	var out bytes.Buffer
	out.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	places := make([]int, len(objects))
	for i, o := range objects {
		places[i] = out.Len()
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	table := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range places {
		fmt.Fprintf(&out, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&out, "trailer\n<< /Size %d /Root 1 0 R /Info 7 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, table)
	return out.Bytes()
}
