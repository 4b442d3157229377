package citytest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"parvis"
)

// Visitor is a browser without JavaScript: it keeps cookies, follows
// redirects, and fills in forms.
type Visitor struct {
	Town   *Town
	Lang   string
	Header http.Header // added to every request
	HTTP   *http.Client

	tb testing.TB
}

// Visitor gives a new one, who knows nothing yet.
func (t *Town) Visitor(tb testing.TB) *Visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	c := Client()
	c.Jar, c.CheckRedirect = jar, nil
	return &Visitor{Town: t, Lang: "fr", Header: http.Header{}, HTTP: c, tb: tb}
}

// Page is what came back.
type Page struct {
	Status    int
	URL       *url.URL // after redirects
	Header    http.Header
	Body      string
	Screen    string
	Reasons   []string
	Reference string
	root      *html.Node
}

// Get asks for a page and follows redirects.
func (v *Visitor) Get(address string) *Page {
	v.tb.Helper()
	return v.do(http.MethodGet, address, nil)
}

// Post sends fields as a form does.
func (v *Visitor) Post(address string, fields url.Values) *Page {
	v.tb.Helper()
	return v.do(http.MethodPost, address, fields)
}

func (v *Visitor) do(method, address string, fields url.Values) *Page {
	v.tb.Helper()
	var body io.Reader
	if fields != nil {
		body = strings.NewReader(fields.Encode())
	}
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		v.tb.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	req.Header.Set("Accept-Language", v.Lang)
	if fields != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for k, vs := range v.Header {
		req.Header[k] = vs
	}
	res, err := v.HTTP.Do(req)
	if err != nil {
		v.tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.tb.Fatal(err)
	}
	p := &Page{Status: res.StatusCode, URL: res.Request.URL, Header: res.Header, Body: string(b)}
	p.root, err = html.Parse(strings.NewReader(p.Body))
	if err != nil {
		v.tb.Fatal(err)
	}
	if n := find(p.root, func(n *html.Node) bool { return n.Data == "body" }); n != nil {
		p.Screen = attr(n, "data-screen")
		p.Reasons = strings.Fields(attr(n, "data-reason"))
		p.Reference = attr(n, "data-reference")
	}
	return p
}

// Submit fills in the form of a page that has all the named fields, and sends it.
func (v *Visitor) Submit(p *Page, fields map[string]string) *Page {
	v.tb.Helper()
	form := find(p.root, func(n *html.Node) bool {
		if n.Data != "form" || !strings.EqualFold(attr(n, "method"), "post") {
			return false
		}
		for name := range fields {
			if find(n, func(f *html.Node) bool { return attr(f, "name") == name }) == nil {
				return false
			}
		}
		return true
	})
	if form == nil {
		v.tb.Fatalf("no form with fields %v on %s (screen %s):\n%s", fields, p.URL, p.Screen, p.Body)
	}
	values := url.Values{}
	each(form, func(n *html.Node) {
		name := attr(n, "name")
		if name == "" || n.Data != "input" && n.Data != "button" && n.Data != "textarea" && n.Data != "select" {
			return
		}
		switch typ := attr(n, "type"); {
		case typ == "checkbox" || typ == "radio" || n.Data == "button" || typ == "submit":
			return
		}
		values.Set(name, attr(n, "value"))
	})
	for name, value := range fields {
		values.Set(name, value)
	}
	action, err := p.URL.Parse(attr(form, "action"))
	if err != nil {
		v.tb.Fatal(err)
	}
	return v.Post(action.String(), values)
}

// SignIn goes through the door of an entrance and gives the page it led to.
func (v *Visitor) SignIn(ch parvis.Channel, who Person) *Page {
	v.tb.Helper()
	return v.SignInAt(v.Get(v.Town.Portal(ch)+"/signin"), who.Number, who.Password)
}

// SignInAt answers the door from a page of it.
func (v *Visitor) SignInAt(p *Page, identifier, password string) *Page {
	v.tb.Helper()
	if p.Screen != "sign_in_identifier" && p.Screen != "sign_in_context" {
		v.tb.Fatalf("not at the door but at %s (%s)", p.Screen, p.URL)
	}
	p = v.Submit(p, map[string]string{"identifier": identifier})
	if p.Screen != "sign_in_secret" {
		return p
	}
	return v.Submit(p, map[string]string{"password": password})
}

// Has tells whether the page carries a reason.
func (p *Page) Has(code string) bool {
	for _, r := range p.Reasons {
		if r == code {
			return true
		}
	}
	return false
}

// Text is the readable text of the page.
func (p *Page) Text() string {
	var b strings.Builder
	each(p.root, func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
			b.WriteByte(' ')
		}
	})
	return strings.Join(strings.Fields(b.String()), " ")
}

// Link gives the address of the first link whose address contains part.
func (p *Page) Link(part string) string {
	n := find(p.root, func(n *html.Node) bool { return n.Data == "a" && strings.Contains(attr(n, "href"), part) })
	if n == nil {
		return ""
	}
	u, err := p.URL.Parse(attr(n, "href"))
	if err != nil {
		return ""
	}
	return u.String()
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func find(n *html.Node, keep func(*html.Node) bool) *html.Node {
	if n.Type == html.ElementNode && keep(n) {
		return n
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if f := find(c, keep); f != nil {
			return f
		}
	}
	return nil
}

func each(n *html.Node, f func(*html.Node)) {
	f(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		each(c, f)
	}
}
