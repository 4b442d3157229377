package page

import (
	"embed"
	"strings"
	"sync"
)

//go:embed assets
var files embed.FS

// icons maps a name to a whole <svg>, redrawn at the house's stroke.
var icons = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	entries, err := files.ReadDir("assets/icons")
	if err != nil {
		return out // embedded: cannot be absent
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".svg")
		if !ok {
			continue
		}
		b, _ := files.ReadFile("assets/icons/" + e.Name())
		out[name] = redraw(string(b))
	}
	return out
})

// redraw keeps the paths of a Tabler icon and replaces its frame. The empty
// 24 × 24 path is Tabler's own guide and draws nothing.
func redraw(src string) string {
	_, inner, _ := strings.Cut(src, ">")
	inner, _, _ = strings.Cut(inner, "</svg>")
	var b strings.Builder
	b.WriteString(`<svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">`)
	for line := range strings.Lines(inner) {
		line = strings.TrimSpace(line)
		if line == "" || strings.Contains(line, `stroke="none"`) {
			continue
		}
		b.WriteString(line)
	}
	b.WriteString(`</svg>`)
	return b.String()
}
