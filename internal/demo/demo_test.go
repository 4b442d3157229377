package demo

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const letter = "From: Ville <acces@example.org>\r\nTo: a@example.org\r\nSubject: =?utf-8?q?Activez_votre_acc=C3=A8s?=\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Votre code : 8CTH-XR5H-G7AJ =C3=A9\r\nou 123456. Portail : http://agents.localhost:8080, comme\r\nd'habitude. http://agents.localhost:8080/activate?link=3Dabc-ABCD-EFGH\r\nhttp://agents.localhost:8080\r\n" +
	"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+Qm9uam91cjwvcD4=\r\n--b--\r\n"

// TestLetterbox sends a message as a mail server would, and reads it back.
func TestLetterbox(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	box := &Letterbox{Clock: func() time.Time { return at }}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- box.ServeSMTP(t.Context(), l) }()
	if err := smtp.SendMail(l.Addr().String(), nil, "acces@example.org", []string{"a@example.org", "b@example.org"}, []byte(letter)); err != nil {
		t.Fatal(err)
	}
	res := httptest.NewRecorder()
	box.Handler().ServeHTTP(res, httptest.NewRequest(http.MethodGet, "/api/messages?to=A@example.org", nil))
	var got []Letter
	if err := json.Unmarshal(res.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []Letter{{
		ID: "1", Kind: "mail", To: "a@example.org", Subject: "Activez votre accès", At: at,
		Text: "Votre code : 8CTH-XR5H-G7AJ é\nou 123456. Portail : http://agents.localhost:8080, comme\nd'habitude. http://agents.localhost:8080/activate?link=abc-ABCD-EFGH\nhttp://agents.localhost:8080", HTML: "<p>Bonjour</p>",
		Links: []string{"http://agents.localhost:8080/activate?link=abc-ABCD-EFGH", "http://agents.localhost:8080"}, Codes: []string{"8CTH-XR5H-G7AJ", "123456"},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("letters (-want +got):\n%s", d)
	}
	if n := len(box.For("")); n != 2 {
		t.Errorf("%d letters in all, one for each address expected", n)
	}
}

func TestLetterboxForgets(t *testing.T) {
	box := &Letterbox{Clock: time.Now}
	for range keep + 10 {
		box.add(Letter{To: "a"})
	}
	all := box.For("")
	if len(all) != keep || all[0].ID != "1010" {
		t.Errorf("%d letters, the newest is %s", len(all), all[0].ID)
	}
}

// TestEveryPromisedPerson holds the city against what contract.md promises.
func TestEveryPromisedPerson(t *testing.T) {
	all := people()
	complete(all)
	var numbers []string
	for _, p := range all {
		numbers = append(numbers, string(p.Number))
		if p.Password == "" && !p.activationCode {
			t.Errorf("%s can never come in", p.Number)
		}
		if strings.ContainsFunc(p.Email, func(r rune) bool { return r > 127 }) {
			t.Errorf("%s has the address %s", p.Number, p.Email)
		}
	}
	want := strings.Fields("A100001 A100002 A100003 A100004 A100005 A100006 A100007 A100008 A100010 A100020 A100030 A100040 A100050")
	if d := cmp.Diff(want, numbers); d != "" {
		t.Errorf("people (-want +got):\n%s", d)
	}
	file := hrFile(all, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	if n := strings.Count(file, "\n"); n != len(all)+1 || !strings.Contains(file, "A100006;Rousseau;Claire;") {
		t.Errorf("the HR file has %d lines:\n%s", n, file)
	}
}

func TestClockIsKept(t *testing.T) {
	dir := t.TempDir()
	at := time.Now().Add(40 * time.Hour)
	if err := OpenClock(dir).Set(at); err != nil {
		t.Fatal(err)
	}
	if d := OpenClock(dir).Now().Sub(at); d < 0 || d > time.Hour {
		t.Errorf("the clock is %v away from where it was set", d)
	}
}

func FuzzLetter(f *testing.F) {
	f.Add(letter)
	f.Add("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		box := &Letterbox{Clock: time.Now}
		d := &delivery{box: box, to: []string{"a"}}
		if err := d.Data(strings.NewReader(s)); err == nil && len(box.For("a")) != 1 {
			t.Error("a message was accepted and is not there")
		}
	})
}
