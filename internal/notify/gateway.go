package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/seal"
)

// HTTPGateway is a provider that takes a text message as one HTTP request. URL,
// headers and body are templates: {to} is the number with its +, {digits} the
// number without, {text} the message, {id} our name for it (the same when it is
// tried again), {secret} the Secret. Values are escaped for where they stand: a
// path, a query, a form, or inside the quotes of JSON, as the Content-Type says.
// No redirect is followed and 64 KiB of the answer are read.
//
// A message was taken when the status is one of Success and, if there is a
// Pointer (RFC 6901), the JSON value there is Equals. A status of Refused says
// that it never will be.
type HTTPGateway struct {
	Method    string // POST when empty
	URL       string // https, or http to this machine
	Headers   map[string]string
	Body      string
	Secret    seal.Secret
	Success   []int  // 200, 201, 202 and 204 when empty
	Pointer   string // "/status"
	Equals    string // "accepted", "true", "0"
	Receipt   string // pointer to the provider's name for the message
	Refused   []int  // such as 422; none when empty
	Authority string // file with the certificates to trust; the system's when empty
	Timeout   time.Duration

	once   sync.Once
	client *http.Client
}

const (
	mostAnswer    = 64 << 10
	typeJSON      = "application/json"
	typeForm      = "application/x-www-form-urlencoded"
	gatewayHeader = "Content-Type"
)

var (
	placeholder  = regexp.MustCompile(`\{[a-z_]+\}`)
	placeholders = []string{"{to}", "{digits}", "{text}", "{id}", "{secret}"}
)

// String names the provider for the log: never more than its host, for secrets
// stand in addresses too.
func (g *HTTPGateway) String() string {
	u, err := url.Parse(g.URL)
	if err != nil {
		return "http"
	}
	return u.Scheme + " " + u.Host
}

// check completes the settings, or says what is wrong with them.
func (g *HTTPGateway) check() error {
	if g.Method == "" {
		g.Method = http.MethodPost
	}
	if g.Timeout <= 0 {
		g.Timeout = 10 * time.Second
	}
	if len(g.Success) == 0 {
		g.Success = []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}
	}
	scheme, rest, _ := strings.Cut(g.URL, "://")
	authority, _, _ := strings.Cut(rest, "/")
	authority, _, _ = strings.Cut(authority, "?")
	host := authority
	if h, _, err := net.SplitHostPort(authority); err == nil {
		host = h
	}
	switch {
	case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut}, g.Method):
		return fmt.Errorf("%s: method %q", g, g.Method)
	case authority == "" || strings.ContainsAny(authority, "{}@ "):
		return fmt.Errorf("%s: the address needs a host that no value changes, and no password", g)
	case scheme != "https" && (scheme != "http" || !here(host)):
		return fmt.Errorf("%s: https is needed, or http to this machine", g)
	case (g.Pointer == "") != (g.Equals == ""):
		return fmt.Errorf("%s: a pointer and what it must equal go together", g)
	}
	for _, pointer := range []string{g.Pointer, g.Receipt} {
		if pointer != "" && pointer[0] != '/' {
			return fmt.Errorf("%s: %q is not a JSON pointer", g, pointer)
		}
	}
	all := g.URL + g.Body
	for name, value := range g.Headers {
		all += value
		if strings.Contains(value, "{text}") {
			return fmt.Errorf("%s: the text cannot stand in the header %s", g, name)
		}
	}
	for _, found := range placeholder.FindAllString(all, -1) {
		if !slices.Contains(placeholders, found) {
			return fmt.Errorf("%s: %s is not a value", g, found)
		}
	}
	trusted, err := trust(host, g.Authority)
	if err != nil {
		return fmt.Errorf("%s: %w", g, err)
	}
	// What is awkward shows now whether a value can leave its place.
	sample := SMS{ID: "0a1b", To: "+33600000042", Text: "é\"\\\n&=%<{to}"}
	r, err := g.request(context.Background(), sample)
	if err != nil {
		return fmt.Errorf("%s: %w", g, err)
	}
	if body, err := io.ReadAll(r.Body); err == nil && isJSON(g.form()) && len(body) > 0 && !json.Valid(body) {
		return fmt.Errorf("%s: the body is not JSON, or a value stands outside of quotes", g)
	}
	g.prepare(trusted)
	return nil
}

// prepare makes the client once; what it keeps open ends with [HTTPGateway.leave].
func (g *HTTPGateway) prepare(trusted *tls.Config) {
	g.once.Do(func() {
		dialer := &net.Dialer{Timeout: g.Timeout}
		g.client = &http.Client{
			Timeout:       g.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				TLSClientConfig: trusted, MaxResponseHeaderBytes: mostAnswer, MaxIdleConnsPerHost: lanes, IdleConnTimeout: time.Minute,
				DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
						address = net.JoinHostPort("127.0.0.1", port) // RFC 6761 §6.3
					}
					return dialer.DialContext(ctx, network, address)
				},
			},
		}
	})
}

func (g *HTTPGateway) leave() {
	if g.client != nil {
		g.client.CloseIdleConnections()
	}
}

// form tells how the body is written.
func (g *HTTPGateway) form() string {
	for name, value := range g.Headers {
		if strings.EqualFold(name, gatewayHeader) {
			kind, _, err := mime.ParseMediaType(value)
			if err != nil {
				return value
			}
			return kind
		}
	}
	return ""
}

func isJSON(form string) bool { return form == typeJSON || strings.HasSuffix(form, "+json") }

// request fills the templates in.
func (g *HTTPGateway) request(ctx context.Context, m SMS) (*http.Request, error) {
	fill := func(template string, escape func(string) string) string {
		pairs := make([]string, 0, 2*len(placeholders))
		for i, value := range []string{m.To, strings.TrimPrefix(m.To, "+"), m.Text, m.ID, g.Secret.Reveal()} {
			pairs = append(pairs, placeholders[i], escape(value))
		}
		return strings.NewReplacer(pairs...).Replace(template) // once: a value is never read again as a template
	}
	path, query, asks := strings.Cut(g.URL, "?")
	address := fill(path, url.PathEscape)
	if asks {
		address += "?" + fill(query, url.QueryEscape)
	}
	var body string
	switch form := g.form(); {
	case g.Body == "":
	case isJSON(form):
		body = fill(g.Body, quoted)
	case form == typeForm:
		body = fill(g.Body, url.QueryEscape)
	default:
		return nil, fmt.Errorf("a body is %s or %s, not %q", typeJSON, typeForm, form)
	}
	r, err := http.NewRequestWithContext(ctx, g.Method, address, strings.NewReader(body))
	if err != nil {
		return nil, errors.New("the address cannot be read") // the error repeats it, with its secrets
	}
	for name, value := range g.Headers {
		value = fill(value, func(s string) string { return s })
		if strings.ContainsFunc(name+value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("the header %q has a control character", name)
		}
		r.Header.Set(name, value)
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "Parvis")
	}
	return r, nil
}

// quoted escapes a value for inside the quotes of JSON.
func quoted(s string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can always be written
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

// Send hands a message over; the errors are those of [SMPP.Send].
func (g *HTTPGateway) Send(ctx context.Context, m SMS) (string, error) {
	if g.client == nil {
		return "", failure(parvis.CodeInvalid, errors.New("the gateway was not checked"))
	}
	r, err := g.request(ctx, m)
	if err != nil {
		return "", failure(parvis.CodeInvalid, err)
	}
	res, err := g.client.Do(r)
	if err != nil {
		var shown *url.Error
		if errors.As(err, &shown) {
			err = shown.Err // without the address, which has the text and may have a secret
		}
		return "", failure(parvis.CodeUnavailable, fmt.Errorf("%s: %w", g, err))
	}
	defer func() { _ = res.Body.Close() }() // nothing of it is wanted any more
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	status := res.StatusCode
	told := fmt.Errorf("%s: status %d", g, status)
	switch {
	case slices.Contains(g.Success, status):
	case slices.Contains(g.Refused, status):
		return "", failure(parvis.CodeRefused, told)
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound,
		status == http.StatusMethodNotAllowed, status >= 300 && status < 400, status >= 500:
		return "", failure(parvis.CodeUnavailable, told)
	default:
		return "", failure(parvis.CodeLimited, told)
	}
	if g.Pointer != "" {
		if err != nil {
			return "", failure(parvis.CodeUnavailable, fmt.Errorf("%s: the answer broke off: %w", g, err))
		}
		if value, ok := at(answer, g.Pointer); !ok || value != g.Equals {
			return "", failure(parvis.CodeLimited, fmt.Errorf("%s: status %d, and %s is not as it should be", g, status, g.Pointer))
		}
	}
	id := ""
	if g.Receipt != "" {
		id, _ = at(answer, g.Receipt)
	}
	return named([]byte(id)), nil
}

// at gives the value a JSON pointer leads to (RFC 6901 §4), as it is written; a
// string without its quotes. Objects and arrays are no values.
func at(document []byte, pointer string) (string, bool) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var here any
	if decoder.Decode(&here) != nil {
		return "", false
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch node := here.(type) {
		case map[string]any:
			next, ok := node[step]
			if !ok {
				return "", false
			}
			here = next
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(node) || strconv.Itoa(n) != step {
				return "", false
			}
			here = node[n]
		default:
			return "", false
		}
	}
	switch value := here.(type) {
	case string:
		return value, true
	case json.Number:
		return value.String(), true
	case bool:
		return strconv.FormatBool(value), true
	}
	return "", false
}

// here tells whether a host is this machine, by its name alone.
func here(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// trust is TLS towards a provider, with the certificates of a file or the system's.
func trust(host, authority string) (*tls.Config, error) {
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if authority == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", authority)
	}
	return conf, nil
}
