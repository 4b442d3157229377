package htmlcheck_test

import (
	"strings"
	"testing"

	"parvis/internal/htmlcheck"
)

const good = `<!DOCTYPE html><html lang="fr"><head><meta charset="utf-8"><title>Accueil</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/a.css"><script src="/a.js" defer></script></head>
<body data-screen="start"><a href="#main">Aller au contenu</a>
<header><nav aria-label="Pages"><a href="/">Ville</a></nav><svg aria-hidden="true"></svg></header>
<main id="main"><h1>Accueil</h1><h2>Suite</h2><img src="/i.svg" alt="">
<form method="post" action="/x"><label for="p">Mot de passe</label><input id="p" name="p" type="password" autocomplete="current-password" aria-describedby="h">
<p id="h">Aide</p><fieldset><legend>Choix</legend><input type="radio" id="r" name="r"><label for="r">Un</label></fieldset>
<button type="submit">Envoyer</button></form>
<table><caption>Où</caption><tr><th scope="col">A</th></tr></table><ul><li>un</li></ul><dl><dt>a</dt><dd>b</dd></dl>
<div role="region" aria-label="Table"></div></main><footer>Pied</footer></body></html>`

func TestGoodPage(t *testing.T) {
	if f := htmlcheck.Check([]byte(good)); len(f) != 0 {
		t.Errorf("faults on a good page: %q", f)
	}
}

// TestEveryClaimCanFail breaks the good page in one way at a time.
func TestEveryClaimCanFail(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`<!DOCTYPE html>`, ``, "doctype"},
		{`lang="fr"`, ``, "html lang"},
		{`<title>Accueil</title>`, ``, "0 title"},
		{`<title>Accueil</title>`, `<title> </title>`, "title is empty"},
		{`<title>Accueil</title>`, `<title>a</title><title>b</title>`, "2 title"},
		{` data-screen="start"`, ``, "data-screen"},
		{` data-screen="start"`, ` data-screen="start" data-reference="x"`, "without a data-reason"},
		{`<meta charset="utf-8">`, ``, "charset"},
		{`<meta name="viewport" content="width=device-width">`, ``, "no meta viewport"},
		{`width=device-width`, `width=device-width, user-scalable=no`, "stops zoom"},
		{`<meta charset="utf-8">`, `<meta charset="utf-8"><meta http-equiv="refresh" content="3">`, "refresh"},
		{`<h1>Accueil</h1>`, ``, "0 h1"},
		{`<h1>Accueil</h1>`, `<h1>Accueil</h1><h1>b</h1>`, "2 h1"},
		{`<h1>Accueil</h1>`, `<h1></h1>`, "empty h1"},
		{`<h2>Suite</h2>`, `<h3>Suite</h3>`, "after h1"},
		{`<main id="main"><h1>Accueil</h1>`, `<h1>Accueil</h1><main id="main">`, "h1 outside main"},
		{`<main id="main">`, `<div id="main">`, "0 main"},
		{`<footer>Pied</footer>`, ``, "0 footer"},
		{`<header>`, `<div>`, "0 header"},
		{` aria-label="Pages"`, ``, "nav without a name"},
		{`<a href="#main">Aller au contenu</a>`, ``, "skip to main"},
		{`<ul>`, `<ul style="color:red">`, "style attribute"},
		{`<ul>`, `<ul onclick="x()">`, "onclick"},
		{`<a href="/">`, `<a href="javascript:x()">`, "script address"},
		{`<a href="/">`, `<a href="/" target="_blank">`, "target"},
		{`<ul>`, `<ul tabindex="3">`, "tabindex"},
		{`<ul>`, `<style>a{}</style><ul>`, "inline style"},
		{`<ul>`, `<script>x()</script><ul>`, "inline script"},
		{`<ul>`, `<iframe src="/"></iframe><ul>`, "iframe"},
		{`href="/a.css"`, `href="https://cdn.example.org/a.css"`, "from elsewhere"},
		{`<ul>`, `<ul id="h">`, "used 2 times"},
		{`aria-describedby="h"`, `aria-describedby="nowhere"`, "points at nothing"},
		{`<a href="/">Ville`, `<a href="#nowhere">Ville`, "link to #nowhere"},
		{`<a href="/">`, `<a>`, "without an address"},
		{`<a href="/">Ville</a>`, `<a href="/"><svg aria-hidden="true"></svg></a>`, "link without text"},
		{`>Envoyer<`, `><span aria-hidden="true">x</span><`, "button without text"},
		{`<button type="submit">`, `<button>`, "button of type"},
		{` alt=""`, ``, "without alt"},
		{`<svg aria-hidden="true">`, `<svg>`, "svg neither"},
		{`role="region" aria-label="Table"`, `role="region"`, "region without a name"},
		{`<caption>Où</caption>`, ``, "caption"},
		{` scope="col"`, ``, "scope"},
		{`<li>un</li>`, `<div>un</div>`, "div in ul"},
		{`<dt>a</dt><dd>b</dd>`, `<dt>a</dt>`, "dl without"},
		{`<p id="h">Aide</p>`, `<p id="h"><div>Aide</div></p>`, "empty paragraph"},
		{`<legend>Choix</legend>`, ``, "legend"},
		{` method="post"`, ``, "method"},
		{` action="/x"`, ``, "action"},
		{`<label for="p">Mot de passe</label>`, ``, `field "p" has no label`},
		{`<label for="p">Mot de passe</label><input`, `<input placeholder="Mot de passe"`, `field "p" has no label`},
		{` name="p"`, ``, "without a name"},
		{`autocomplete="current-password"`, `autocomplete="motdepasse"`, "is not a value"},
		{` autocomplete="current-password"`, ``, "password managers"},
		{`type="password"`, `type="number"`, "type number"},
		{`type="password"`, `type="password" required`, "uses required"},
		{`aria-describedby="h"`, `aria-invalid="true"`, "does not say why"},
		{`<fieldset><legend>Choix</legend>`, `<div>`, "outside a fieldset"},
		{`<form method="post" action="/x">`, `<div>`, "outside a form"},
		{`<button type="submit">Envoyer</button>`, `<input type="submit" value="Envoyer">`, "use button"},
	} {
		t.Run(c.want, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Fatalf("%q is not in the good page", c.old)
			}
			faults := htmlcheck.Check([]byte(bad))
			if !strings.Contains(strings.Join(faults, "\n"), c.want) {
				t.Errorf("%q for %q: faults %q, want one with %q", c.new, c.old, faults, c.want)
			}
		})
	}
}

// FuzzCheck: whatever the bytes, an answer and no panic; only a whole page is faultless.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("<table><svg><title>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(htmlcheck.Check(body)) == 0 && !strings.Contains(strings.ToLower(string(body)), "data-screen") {
			t.Errorf("no fault in %q", body)
		}
	})
}
