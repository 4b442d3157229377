package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis"
)

const awkward = "204816 est votre code.\n\"\\&=%+{to}<é😀>\u2028@host #204816"

// jsonGateway posts JSON as the demonstration's letterbox wants it.
func jsonGateway(address string) *HTTPGateway {
	return &HTTPGateway{
		URL: address, Headers: map[string]string{"Content-Type": "application/json; charset=utf-8", "Authorization": "Bearer {secret}"},
		Body: `{"to":"{to}","text":"{text}","id":"{id}","number":{digits}}`, Secret: "hush\"hush",
		Pointer: "/status", Equals: "accepted", Receipt: "/id", Refused: []int{422},
	}
}

func checked(t *testing.T, g *HTTPGateway) *HTTPGateway {
	t.Helper()
	if err := g.check(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.leave)
	return g
}

func TestGatewayJSON(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			To, Text, ID string
			Number       int64
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		if r.Method != http.MethodPost || in.To != "+33600000042" || in.Text != awkward || in.ID != "m1" || in.Number != 33600000042 {
			t.Errorf("%s %+v", r.Method, in)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer hush\"hush" {
			t.Errorf("Authorization %q", got)
		}
		_, _ = io.WriteString(w, `{"status":"accepted","id":"ab-1"}`)
	}))
	defer server.Close()
	g := checked(t, jsonGateway(server.URL+"/sms"))
	if id, err := g.Send(t.Context(), text1("+33600000042", awkward)); err != nil || id != "ab-1" {
		t.Errorf("%q, %v", id, err)
	}
}

func TestGatewayForms(t *testing.T) {
	var body string
	var asked *url.URL
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body, asked = string(b), r.URL
	}))
	defer server.Close()
	values := func(v url.Values, err error) {
		t.Helper()
		if err != nil || len(v) != 4 || v.Get("dest") != "+33600000042" || v.Get("msg") != awkward || v.Get("ref") != "m1" || v.Get("key") != "a&b" {
			t.Errorf("%q, %v", v, err)
		}
	}
	const fields = "dest={to}&msg={text}&ref={id}&key={secret}"
	post := checked(t, &HTTPGateway{URL: server.URL, Headers: map[string]string{"content-type": "application/x-www-form-urlencoded"}, Body: fields, Secret: "a&b"})
	if _, err := post.Send(t.Context(), text1("+33600000042", awkward)); err != nil {
		t.Error(err)
	}
	values(url.ParseQuery(body))
	get := checked(t, &HTTPGateway{Method: "GET", URL: server.URL + "/send/{digits}?" + fields, Secret: "a&b"})
	if _, err := get.Send(t.Context(), text1("+33600000042", awkward)); err != nil {
		t.Error(err)
	}
	if asked.Path != "/send/33600000042" || body != "" {
		t.Errorf("path %q, body %q", asked.Path, body)
	}
	values(url.ParseQuery(asked.RawQuery))
}

func TestGatewayAnswers(t *testing.T) {
	var status int
	var answer string
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		if status == http.StatusFound {
			http.Redirect(w, r, "/elsewhere", status)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	g := checked(t, jsonGateway(server.URL+"/sms"))
	const yes = `{"status":"accepted","id":"x"}`
	for _, c := range []struct {
		status int
		answer string
		want   parvis.Code
		id     string
	}{
		{200, yes, "", "x"},
		{202, `{"status":"accepted"}`, "", ""},
		{200, `{"status":"accepted","id":"a b\r\nX"}`, "", ""}, // no name at all rather than such a one
		{200, `{"status":"accepted","id":"` + strings.Repeat("a", 100) + `"}`, "", ""},
		{200, `{"status":"queued"}`, parvis.CodeLimited, ""},
		{200, `{"status":["accepted"]}`, parvis.CodeLimited, ""},
		{200, `["accepted"]`, parvis.CodeLimited, ""},
		{200, ``, parvis.CodeLimited, ""},
		{200, strings.Repeat("[", 70_000), parvis.CodeLimited, ""},
		{200, `{"pad":"` + strings.Repeat("a", 70_000) + `","status":"accepted"}`, parvis.CodeLimited, ""}, // beyond what is read
		{422, yes, parvis.CodeRefused, ""},
		{400, yes, parvis.CodeLimited, ""},
		{429, yes, parvis.CodeLimited, ""},
		{401, yes, parvis.CodeUnavailable, ""},
		{503, yes, parvis.CodeUnavailable, ""},
		{302, "", parvis.CodeUnavailable, ""},
	} {
		status, answer, reached = c.status, c.answer, 0
		id, err := g.Send(t.Context(), text1("+33600000042", "204816"))
		if parvis.CodeOf(err) != c.want || id != c.id || reached != 1 {
			t.Errorf("%d %.40q: %q, %v, asked %d times", c.status, c.answer, id, err, reached)
		}
		if err != nil && (strings.Contains(err.Error(), "204816") || strings.Contains(err.Error(), "hush")) {
			t.Errorf("the error tells secrets: %v", err)
		}
	}
}

// A gateway may hang, break off, never end its headers or not be there.
func TestGatewayThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			switch i {
			case 0: // silence
				defer func() { _ = conn.Close() }()
			case 1: // headers without end
				for range 3000 {
					if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-%d: %s\r\n", i, strings.Repeat("a", 1000)); err != nil {
						break
					}
				}
				_ = conn.Close()
			case 2:
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\"")
				_ = conn.Close()
			default:
				_ = conn.Close()
			}
		}
	}()
	g := jsonGateway(fmt.Sprintf("http://sms.localhost:%d/key-{secret}", l.Addr().(*net.TCPAddr).Port))
	g.Timeout = 300 * time.Millisecond
	checked(t, g)
	for i := range 5 {
		if i == 4 {
			_ = l.Close()
		}
		_, err := g.Send(t.Context(), text1("+33600000042", "204816"))
		if parvis.CodeOf(err) != parvis.CodeUnavailable {
			t.Errorf("%d: %v", i, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "key-")) {
			t.Errorf("the error tells secrets: %v", err)
		}
	}
	<-ended
}

func TestGatewaySettings(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	header := func(kind string) map[string]string { return map[string]string{"Content-Type": kind} }
	for name, bad := range map[string]*HTTPGateway{
		"nothing":             {},
		"no TLS":              {URL: "http://sms.example/?to={to}"},
		"method":              {URL: "https://sms.example/", Method: "DELETE"},
		"host from a value":   {URL: "https://{to}.example/"},
		"password in address": {URL: "https://a:b@sms.example/"},
		"unknown value":       {URL: "https://sms.example/?to={phone}"},
		"text in a header":    {URL: "https://sms.example/", Headers: map[string]string{"X-Text": "{text}"}},
		"line in a header":    {URL: "https://sms.example/", Headers: map[string]string{"X-A": "b\r\nX-C: d"}},
		"body of no kind":     {URL: "https://sms.example/", Body: "{text}"},
		"body of a kind":      {URL: "https://sms.example/", Headers: header("text/plain"), Body: "{text}"},
		"not JSON":            {URL: "https://sms.example/", Headers: header("application/json"), Body: `{"text":"{text}"`},
		"outside of quotes":   {URL: "https://sms.example/", Headers: header("application/json"), Body: `{"text":{text}}`},
		"number with plus":    {URL: "https://sms.example/", Headers: header("application/vnd.x+json"), Body: `{"to":{to}}`},
		"pointer alone":       {URL: "https://sms.example/", Pointer: "/a"},
		"pointer":             {URL: "https://sms.example/", Headers: header(form), Body: "a={to}", Pointer: "a", Equals: "b"},
		"no certificate":      {URL: "https://sms.example/", Authority: "/nowhere/ca.pem"},
	} {
		if err := bad.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, good := range []*HTTPGateway{
		{URL: "https://sms.example:8443/v1/{digits}?key={secret}", Method: "GET"},
		{URL: "http://messages.localhost:8083/sms", Headers: header("application/json"), Body: `{"to":"{to}"}`},
		{URL: "http://[::1]:8083/sms", Headers: header(form), Body: "to={to}"},
	} {
		if err := good.check(); err != nil {
			t.Error(err)
		}
	}
	if s := fmt.Sprint(&HTTPGateway{URL: "https://sms.example/key-1234?x"}); s != "https sms.example" {
		t.Errorf("the log shows %q", s)
	}
	if _, err := new(HTTPGateway).Send(t.Context(), text1("+33600000042", "a")); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("unchecked: %v", err)
	}
}

func TestPointer(t *testing.T) {
	const document = `{"a":{"b":[10,{"c~d/e":"yes"}]},"":true,"n":null,"big":12345678901234567890}`
	for pointer, want := range map[string]string{
		"/a/b/0": "10", "/a/b/1/c~0d~1e": "yes", "/": "true", "/big": "12345678901234567890",
		"/a": "", "/n": "", "/a/b/2": "", "/a/b/00": "", "/a/b/-1": "", "/a/b/0/x": "", "/z": "",
	} {
		if got, ok := at([]byte(document), pointer); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", pointer, got, ok)
		}
	}
}

// Whatever a text holds, it stays where the template puts it.
func FuzzGateway(f *testing.F) {
	f.Add(awkward)
	f.Add("\",\"to\":\"+33700000000\",\"x\":\"")
	f.Add("&dest=1#{secret}\xff")
	g := jsonGateway("https://sms.example/sms")
	if err := g.check(); err != nil {
		f.Fatal(err)
	}
	form := &HTTPGateway{URL: "https://sms.example/{to}?a={text}", Headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, Body: "msg={text}&dest={to}"}
	if err := form.check(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said string) {
		valid := strings.ToValidUTF8(said, "\uFFFD")
		r, err := g.request(t.Context(), text1("+33600000042", said))
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || len(got) != 4 || got["to"] != "+33600000042" {
			t.Fatalf("%q becomes %v, %v", said, got, err)
		}
		if got["text"] != valid && strings.ToValidUTF8(said, "") == said {
			t.Fatalf("%q becomes %q", said, got["text"])
		}
		r, err = form.request(t.Context(), text1("+33600000042", said))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		values, err := url.ParseQuery(string(b))
		query := r.URL.Query()
		if err != nil || len(values) != 2 || values.Get("msg") != said || len(query) != 1 || query.Get("a") != said || r.URL.Host != "sms.example" {
			t.Fatalf("%q becomes %q and %q, %v", said, values, query, err)
		}
	})
}
