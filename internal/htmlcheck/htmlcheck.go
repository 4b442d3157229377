// Package htmlcheck makes claims about pages, for tests. It promises that a
// page for which Check finds nothing has one title, one h1, headings in order,
// the landmarks, a name for every field, link and button, references that
// resolve, and nothing inline that a strict content policy would refuse.
//
// It refuses to know what a page is for. It reads the document as a browser
// would repair it, so a misplaced element shows as what it was turned into.
// It keeps no state.
package htmlcheck

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Check returns the faults of one whole page, in document order within each
// claim; none when every claim holds. Each fault is one sentence.
func Check(body []byte) []string {
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return []string{"cannot be parsed: " + err.Error()}
	}
	c := &checker{ids: map[string]int{}, labels: map[string]string{}}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		c.nodes = append(c.nodes, n)
		if id := attr(n, "id"); id != "" {
			c.ids[id]++
		}
		if n.DataAtom == atom.Label {
			c.labels[attr(n, "for")] += text(n)
		}
	}
	if !bytes.HasPrefix(bytes.ToLower(bytes.TrimSpace(body)), []byte("<!doctype html>")) {
		c.fault("no <!doctype html>")
	}
	c.document()
	c.headings()
	c.landmarks()
	for _, n := range c.nodes {
		c.inline(n)
		c.references(n)
		c.names(n)
		c.structure(n)
	}
	c.fields()
	return c.faults
}

type checker struct {
	nodes  []*html.Node
	ids    map[string]int
	labels map[string]string
	faults []string
}

func (c *checker) fault(format string, a ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, a...))
}

func (c *checker) all(a atom.Atom) []*html.Node {
	var out []*html.Node
	for _, n := range c.nodes {
		if n.DataAtom == a {
			out = append(out, n)
		}
	}
	return out
}

func (c *checker) document() {
	for _, n := range c.all(atom.Html) {
		if l := attr(n, "lang"); len(l) != 2 {
			c.fault("html lang is %q", l)
		}
	}
	titles := 0
	for _, n := range c.all(atom.Title) {
		if n.Namespace != "" {
			continue // the title of an svg
		}
		titles++
		if text(n) == "" {
			c.fault("title is empty")
		}
	}
	if titles != 1 {
		c.fault("%d title elements", titles)
	}
	for _, n := range c.all(atom.Body) {
		if attr(n, "data-screen") == "" {
			c.fault("body has no data-screen")
		}
		if attr(n, "data-reason") == "" && attr(n, "data-reference") != "" {
			c.fault("a data-reference without a data-reason")
		}
	}
	charset, viewport := false, false
	for _, n := range c.all(atom.Meta) {
		charset = charset || strings.EqualFold(attr(n, "charset"), "utf-8")
		if attr(n, "name") == "viewport" {
			viewport = true
			if v := attr(n, "content"); strings.Contains(v, "maximum-scale") || strings.Contains(v, "user-scalable") {
				c.fault("viewport stops zoom: %q", v)
			}
		}
		if strings.EqualFold(attr(n, "http-equiv"), "refresh") {
			c.fault("meta refresh")
		}
	}
	if !charset {
		c.fault("no meta charset utf-8")
	}
	if !viewport {
		c.fault("no meta viewport")
	}
}

func (c *checker) headings() {
	last, ones := 0, 0
	for _, n := range c.nodes {
		level := slices.Index([]atom.Atom{atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6}, n.DataAtom) + 1
		if level == 0 {
			continue
		}
		if level == 1 {
			ones++
		}
		if text(n) == "" {
			c.fault("empty h%d", level)
		}
		if level > last+1 {
			c.fault("h%d %q after h%d", level, text(n), last)
		}
		last = level
	}
	if ones != 1 {
		c.fault("%d h1 elements", ones)
	}
}

func (c *checker) landmarks() {
	for _, a := range []atom.Atom{atom.Header, atom.Main, atom.Footer} {
		count := 0
		for _, n := range c.all(a) {
			// Inside these, header and footer are not landmarks.
			if within(n, atom.Main, atom.Article, atom.Section, atom.Aside, atom.Nav) == nil {
				count++
			}
		}
		if count != 1 {
			c.fault("%d %s landmarks", count, a)
		}
	}
	var navs []string
	for _, n := range c.all(atom.Nav) {
		name := c.name(n)
		if name == "" || slices.Contains(navs, name) {
			c.fault("nav without a name of its own: %q", name)
		}
		navs = append(navs, name)
	}
	links := c.all(atom.A)
	if mains := c.all(atom.Main); len(mains) > 0 {
		if id := attr(mains[0], "id"); id == "" || len(links) == 0 || attr(links[0], "href") != "#"+id {
			c.fault("the first link does not skip to main")
		}
	}
	for _, n := range c.nodes {
		if n.DataAtom == atom.H1 && within(n, atom.Main) == nil {
			c.fault("h1 outside main")
		}
	}
}

func (c *checker) inline(n *html.Node) {
	for _, a := range n.Attr {
		v := strings.ToLower(strings.TrimSpace(a.Val))
		switch {
		case a.Key == "style":
			c.fault("style attribute on %s", n.Data)
		case strings.HasPrefix(a.Key, "on"):
			c.fault("%s attribute on %s", a.Key, n.Data)
		case (a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "formaction") && strings.HasPrefix(v, "javascript:"):
			c.fault("script address on %s", n.Data)
		case a.Key == "target":
			c.fault("target on %s: no window opens unasked", n.Data)
		case a.Key == "tabindex" && v != "0" && v != "-1":
			c.fault("tabindex %s on %s", v, n.Data)
		}
	}
	far := ""
	switch n.DataAtom {
	case atom.Style:
		c.fault("inline style element")
	case atom.Script:
		if far = attr(n, "src"); far == "" {
			c.fault("inline script element")
		}
	case atom.Link:
		far = attr(n, "href")
	case atom.Img:
		far = attr(n, "src")
	case atom.Iframe:
		// Only one that nobody can see or reach, to tell another site something.
		if !has(n, "hidden") || attr(n, "aria-hidden") != "true" || attr(n, "tabindex") != "-1" {
			c.fault("iframe element")
		}
	case atom.Object, atom.Embed:
		c.fault("%s element", n.Data)
	}
	if strings.HasPrefix(far, "//") || strings.Contains(far, "://") {
		c.fault("%s from elsewhere: %s", n.Data, far)
	}
}

func (c *checker) references(n *html.Node) {
	if id := attr(n, "id"); c.ids[id] > 1 {
		c.fault("id %q is used %d times", id, c.ids[id])
		c.ids[id] = 1 // say it once
	}
	for _, k := range []string{"aria-labelledby", "aria-describedby", "aria-controls", "aria-owns", "for", "form", "list"} {
		for id := range strings.FieldsSeq(attr(n, k)) {
			if c.ids[id] == 0 {
				c.fault("%s=%q on %s points at nothing", k, id, n.Data)
			}
		}
	}
	if h := attr(n, "href"); n.DataAtom == atom.A && strings.HasPrefix(h, "#") && c.ids[h[1:]] == 0 {
		c.fault("link to %s points at nothing", h)
	}
}

// names: everything that can be used or seen has one.
func (c *checker) names(n *html.Node) {
	switch n.DataAtom {
	case atom.A:
		if attr(n, "href") == "" {
			c.fault("link without an address: %q", text(n))
		}
		if c.name(n) == "" {
			c.fault("link without text: %s", attr(n, "href"))
		}
	case atom.Button, atom.Summary:
		if c.name(n) == "" {
			c.fault("%s without text", n.Data)
		}
		if t := attr(n, "type"); n.DataAtom == atom.Button && t != "submit" && t != "button" {
			c.fault("button of type %q: %q", t, text(n))
		}
	case atom.Img:
		if !has(n, "alt") {
			c.fault("img without alt: %s", attr(n, "src"))
		}
	case atom.Svg:
		if attr(n, "aria-hidden") != "true" && (attr(n, "role") != "img" || c.name(n) == "") {
			c.fault("svg neither hidden nor named")
		}
	}
	if attr(n, "role") == "region" && c.name(n) == "" {
		c.fault("region without a name")
	}
}

func (c *checker) structure(n *html.Node) {
	switch n.DataAtom {
	case atom.Table:
		if first(n, atom.Caption) == nil || text(first(n, atom.Caption)) == "" {
			c.fault("table without a caption")
		}
	case atom.Th:
		if s := attr(n, "scope"); s != "col" && s != "row" {
			c.fault("th without scope: %q", text(n))
		}
	case atom.Ul, atom.Ol:
		for k := range n.ChildNodes() {
			if k.Type == html.ElementNode && k.DataAtom != atom.Li {
				c.fault("%s in %s", k.Data, n.Data)
			}
		}
	case atom.Dl:
		if first(n, atom.Dt) == nil || first(n, atom.Dd) == nil {
			c.fault("dl without dt and dd")
		}
	case atom.P:
		// What a browser makes of a block inside a paragraph.
		if n.FirstChild == nil && attr(n, "role") == "" {
			c.fault("empty paragraph")
		}
	case atom.Fieldset:
		if l := first(n, atom.Legend); l == nil || text(l) == "" {
			c.fault("fieldset without a legend")
		}
	case atom.Form:
		m := strings.ToLower(attr(n, "method"))
		if m != "post" && m != "get" {
			c.fault("form without a method: %s", attr(n, "action"))
		}
		if attr(n, "action") == "" {
			c.fault("form without an action")
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func first(n *html.Node, a atom.Atom) *html.Node {
	for d := range n.Descendants() {
		if d.DataAtom == a {
			return d
		}
	}
	return nil
}

func within(n *html.Node, kinds ...atom.Atom) *html.Node {
	for p := range n.Ancestors() {
		if slices.Contains(kinds, p.DataAtom) {
			return p
		}
	}
	return nil
}

// name is the accessible name as far as these pages make one. Text that is
// hidden from everybody does not count.
func (c *checker) name(n *html.Node) string {
	if l := strings.TrimSpace(attr(n, "aria-label")); l != "" {
		return l
	}
	if ids := attr(n, "aria-labelledby"); ids != "" {
		var parts []string
		for _, m := range c.nodes {
			if id := attr(m, "id"); id != "" && slices.Contains(strings.Fields(ids), id) {
				parts = append(parts, text(m))
			}
		}
		return strings.Join(parts, " ")
	}
	if n.DataAtom == atom.Nav {
		return ""
	}
	if n.DataAtom == atom.Svg {
		if t := first(n, atom.Title); t != nil {
			return text(t)
		}
		return ""
	}
	if t := visible(n); t != "" {
		return t
	}
	if img := first(n, atom.Img); img != nil {
		return attr(img, "alt")
	}
	return ""
}

func visible(n *html.Node) string {
	if n.Type == html.TextNode {
		return strings.TrimSpace(n.Data)
	}
	if attr(n, "aria-hidden") == "true" {
		return ""
	}
	var parts []string
	for k := range n.ChildNodes() {
		if t := visible(k); t != "" {
			parts = append(parts, t)
		}
	}
	return strings.Join(parts, " ")
}
