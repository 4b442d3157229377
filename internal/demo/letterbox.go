package demo

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	keep    = 1000     // letters that the box remembers
	largest = 10 << 20 // bytes of a mail
)

// Letter is a message received, as `/api/messages` shows it.
type Letter struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // "mail" or "sms"
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	HTML    string    `json:"html"`
	Links   []string  `json:"links"`
	Codes   []string  `json:"codes"`
	At      time.Time `json:"at"`

	Name string `json:"-"` // that its sender gave it
}

// Letterbox receives mails over SMTP and text messages over HTTP, and shows them
// to a reader.
type Letterbox struct {
	Clock func() time.Time

	// Deliver, when not empty, is the HOST:PORT of a mail server that speaks LMTP
	// ("smtp:HOST:PORT": SMTP). Mails to *@example.org go on to it, so that a real
	// mailbox holds them too. Whatever it does, a mail is accepted at once; after
	// three attempts a failure is logged.
	Deliver string
	Log     *slog.Logger // nil says nothing

	mu      sync.Mutex
	letters []Letter // oldest first
	n       int

	queued      sync.Once
	letterQueue chan envelope
}

// ServeSMTP receives messages on l, and passes them on, until ctx ends.
func (b *Letterbox) ServeSMTP(ctx context.Context, l net.Listener) error {
	s := smtp.NewServer(b)
	s.Domain = "messages.localhost"
	s.MaxMessageBytes = largest
	s.ReadTimeout, s.WriteTimeout = 10*time.Second, 10*time.Second
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	carried := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(carried)
		b.carry(ctx)
	}()
	defer func() {
		cancel()
		<-carried
	}()
	if err := s.Serve(l); err != nil && !errors.Is(err, smtp.ErrServerClosed) && ctx.Err() == nil {
		return err
	}
	return nil
}

// NewSession is called by the SMTP server for each connection.
func (b *Letterbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &delivery{box: b}, nil }

// delivery is one SMTP conversation (RFC 5321 §3.3).
type delivery struct {
	box  *Letterbox
	from string
	to   []string
}

func (d *delivery) Mail(from string, _ *smtp.MailOptions) error {
	d.from = from
	return nil
}

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = append(d.to, to)
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	message, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return &smtp.SMTPError{Code: 554, Message: "the message cannot be read"}
	}
	letter := Letter{Kind: "mail"}
	letter.Subject, _ = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	letter.read(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	for _, to := range d.to {
		letter.To = to
		d.box.add(letter)
		d.box.passOn(envelope{d.from, to, message})
	}
	return nil
}

func (d *delivery) Reset() { d.from, d.to = "", nil }

func (d *delivery) Logout() error { return nil }

// read takes the readable parts of a body (RFC 2046 §5.1).
func (l *Letter) read(contentType, encoding string, body io.Reader) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return
			}
			l.read(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
		}
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, _ := io.ReadAll(io.LimitReader(body, 1<<20)) // what was readable is shown
	switch kind {
	case "text/plain":
		l.Text += string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	case "text/html":
		l.HTML += string(text)
	}
}

var (
	linkShape  = regexp.MustCompile(`https?://[^\s<>"']+`)
	phoneShape = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	codeShape  = regexp.MustCompile(`(?m)\b(?:[0-9]{6}|[2-9A-HJ-NP-Z]{4,5}(?:-[2-9A-HJ-NP-Z]{4,5})+)\b`)
)

func (b *Letterbox) add(l Letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(l)
}

// addSMS keeps a text message; one that its sender repeats under the same name
// is the one that is there.
func (b *Letterbox) addSMS(to, text, name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.letters {
		if name != "" && l.Name == name {
			return l.ID
		}
	}
	return b.put(Letter{Kind: "sms", To: to, Text: text, Name: name})
}

func (b *Letterbox) put(l Letter) string {
	b.n++
	l.ID = strconv.Itoa(b.n)
	l.At = b.Clock().UTC()
	l.Links = once(linkShape.FindAllString(l.Text, -1))
	slices.SortStableFunc(l.Links, func(a, b string) int { return deep(b) - deep(a) })
	l.Codes = once(codeShape.FindAllString(linkShape.ReplaceAllString(l.Text, " "), -1))
	b.letters = append(b.letters, l)
	if len(b.letters) > keep {
		b.letters = slices.Delete(b.letters, 0, len(b.letters)-keep)
	}
	return l.ID
}

// once keeps the first of each, without the punctuation of the sentence.
func once(found []string) []string {
	all := []string{}
	for _, s := range found {
		if s = strings.TrimRight(s, ".,;:!?)»"); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// deep puts the link to follow before the address of a home page.
func deep(link string) int {
	u, err := url.Parse(link)
	if err != nil || strings.Trim(u.Path, "/") == "" && u.RawQuery == "" {
		return 0
	}
	return 1
}

// For lists the letters to an address, newest first; all of them when it is empty.
func (b *Letterbox) For(to string) []Letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := []Letter{}
	for _, l := range slices.Backward(b.letters) {
		if to == "" || strings.EqualFold(l.To, to) {
			found = append(found, l)
		}
	}
	return found
}

// asked is the address to show the letters of. No address has a blank: it is a
// plus that somebody wrote as it is.
func asked(r *http.Request) string {
	return strings.ReplaceAll(r.URL.Query().Get("to"), " ", "+")
}

// takeSMS is the demonstration's provider of text messages.
func (b *Letterbox) takeSMS(w http.ResponseWriter, r *http.Request) {
	var in struct{ To, Text, ID string }
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" { // so that no page elsewhere can post a form here
		http.Error(w, "application/json is expected", http.StatusUnsupportedMediaType)
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&in); err != nil {
		http.Error(w, "the message cannot be read", http.StatusBadRequest)
		return
	}
	if !phoneShape.MatchString(in.To) || in.Text == "" {
		http.Error(w, "to is a number with its +, and text is not empty", http.StatusUnprocessableEntity)
		return
	}
	id := b.addSMS(in.To, in.Text, in.ID)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "accepted", "id": id}) // it is in the box
}

//go:embed letterbox.html
var letterboxHTML string

// Handler shows the letters: a page for people, `/api/messages` for programs.
// `POST /sms` takes a text message as a provider does, {"to": "+33…", "text": "…"},
// and answers {"status": "accepted", "id": "…"}. The same "id" is taken once.
func (b *Letterbox) Handler() http.Handler {
	page := template.Must(template.New("letterbox").Parse(letterboxHTML))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/messages", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(b.For(asked(r))) // a reader who left needs nothing
	})
	mux.HandleFunc("POST /sms", b.takeSMS)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash(letterboxHTML)+"'")
		_ = page.Execute(w, b.For(asked(r))) // likewise
	})
	return mux
}
