package citytest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds one act of a browser on a busy machine.
const patience = time.Minute

// browser is a real Chromium without a screen, that remembers nothing.
type browser struct {
	ctx context.Context
}

// openBrowser starts a Chromium that ends with the test. A machine without one
// fails, unless PARVIS_TEST_BROWSER says none: nothing is left out in silence.
func openBrowser(tb testing.TB) *browser {
	tb.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	switch {
	case os.Getenv("PARVIS_TEST_BROWSER") == "none":
		tb.Skip("PARVIS_TEST_BROWSER is none")
	case path == "":
		tb.Fatal("no Chromium on this machine; PARVIS_TEST_BROWSER=none leaves these tests out")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(tb.TempDir()), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("headless", "new"), chromedp.WindowSize(1366, 800),
	}
	for _, name := range []string{
		"disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-default-apps", "disable-extensions", "disable-dev-shm-usage", "hide-scrollbars", "mute-audio",
		"disable-renderer-backgrounding", "disable-backgrounding-occluded-windows", "disable-background-timer-throttling",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(ctx)
	tb.Cleanup(func() { leave(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		tb.Fatal(err)
	}
	return &browser{ctx: ctx}
}

// window is one window of a browser: its own cookies, its own preferences, and
// everything that the browser complained about.
type window struct {
	tb  testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []complaint
	documents  map[string]bool // addresses that were gone to
}

type complaint struct{ address, text string }

// seen is what a window shows.
type seen struct {
	Status    int64    `json:"-"`
	URL       string   `json:"url"`
	Title     string   `json:"title"`
	Lang      string   `json:"lang"`
	Screen    string   `json:"screen"`
	Reasons   []string `json:"reasons"`
	Reference string   `json:"reference"`
	App       string   `json:"app"`  // of the demonstration, when it is one
	Text      string   `json:"text"` // as a person reads it
	Source    string   `json:"source"`
	Wide      int      `json:"wide"` // of the content
	Room      int      `json:"room"` // of the window
	Fonts     bool     `json:"fonts"`
}

// window opens one in a language; it fails the test when the browser has
// complained by the end.
func (b *browser) window(tb testing.TB, lang string) *window {
	tb.Helper()
	w := &window{tb: tb, documents: map[string]bool{}}
	var leave context.CancelFunc
	w.ctx, leave = chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(w.listen))
	tb.Cleanup(func() {
		w.quiet()
		leave()
	})
	if err := chromedp.Do(w.ctx); err != nil { // it lives as long as this context, not as one act
		tb.Fatal(err)
	}
	w.do(chromedp.EmulateViewport(1366, 800))
	w.keeper(false)
	w.speak(lang)
	return w
}

// listen keeps what the browser has to say (Chrome DevTools Protocol: Log,
// Runtime, Network).
func (w *window) listen(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			w.documents[e.Response.URL] = true
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			w.complaints = append(w.complaints, complaint{e.Entry.URL, e.Entry.Text})
		}
	case *runtime.EventExceptionThrown:
		w.complaints = append(w.complaints, complaint{"", e.ExceptionDetails.Text + " " + e.ExceptionDetails.URL})
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, a := range e.Args {
				w.complaints = append(w.complaints, complaint{"", string(a.Value) + a.Description})
			}
		}
	}
}

// quiet fails the test for each thing the browser complained about: errors of
// scripts, refusals by the content security policy, files that are missing.
// That a page itself says 403 or 422 is its answer, no complaint.
func (w *window) quiet() {
	w.tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.complaints {
		if w.documents[c.address] && strings.HasPrefix(c.text, "Failed to load resource") {
			continue
		}
		w.tb.Errorf("the browser complains: %s (%s)", c.text, c.address)
	}
	w.complaints = nil
}

// forgive forgets complaints that hold a text.
func (w *window) forgive(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.complaints = slices.DeleteFunc(w.complaints, func(c complaint) bool { return strings.Contains(c.text, text) })
}

func (w *window) do(acts ...chromedp.Action[chromedp.Void]) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, acts...); err != nil {
		w.tb.Fatalf("%v, at %+v", err, w.trySee())
	}
}

// go on to a page by an act, and wait until it is there.
func (w *window) toPage(act chromedp.Action[chromedp.Void]) seen {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	res, err := chromedp.RunResponse(ctx, act)
	if err != nil {
		w.tb.Fatalf("%v, at %+v", err, w.trySee())
	}
	s := w.see()
	s.Status = res.Status
	return s
}

// open goes to an address.
func (w *window) open(address string) seen {
	w.tb.Helper()
	return w.toPage(chromedp.Navigate(address))
}

// press clicks what a CSS selector names, as a person does, and waits for the
// page that follows.
func (w *window) press(selector string) seen {
	w.tb.Helper()
	return w.toPage(chromedp.Click(chromedp.CSS(selector)))
}

// fill types into the field of a name.
func (w *window) fill(name, text string) {
	w.tb.Helper()
	field := chromedp.CSS(fmt.Sprintf("input[name=%q]", name))
	w.do(chromedp.Clear(field), chromedp.SendKeys(field, text))
}

// send types into the field of a name and submits its form.
func (w *window) send(name, text string) seen {
	w.tb.Helper()
	w.fill(name, text)
	return w.press(fmt.Sprintf("form:has(input[name=%q]) button[type=submit]", name))
}

// signIn goes through the door that the window stands at.
func (w *window) signIn(who Person) seen {
	w.tb.Helper()
	w.send("identifier", who.Number)
	return w.send("password", who.Password)
}

// speak sets the languages that the browser prefers.
func (w *window) speak(lang string) {
	w.tb.Helper()
	call(w, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{AcceptLanguage: lang})
}

// look sets the size of the window in pixels of the page, and the theme of the
// machine. Zoom 2 leaves half the pixels, each twice as large.
func (w *window) look(width, zoom int64, dark bool) {
	w.tb.Helper()
	w.do(chromedp.EmulateViewport(width/zoom, 800/zoom, chromedp.EmulateScale(float64(zoom))))
	theme := "light"
	if dark {
		theme = "dark"
	}
	call(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// keeper lets the service worker answer, or not: a page that changes its
// language twice in a second changes its worker as often, and a browser may lose
// a request between two of them.
func (w *window) keeper(allowed bool) {
	w.tb.Helper()
	call(w, network.SetBypassServiceWorker, network.SetBypassServiceWorkerParams{Bypass: !allowed})
}

// scripts allows the page its scripts, or not.
func (w *window) scripts(allowed bool) {
	w.tb.Helper()
	call(w, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allowed})
}

func call[P, R any](w *window, cmd cdp.Command[P, R], params P) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, cmd, params); err != nil {
		w.tb.Fatal(err)
	}
}

// seeScript answers at once, for a page that may run no script of its own.
const seeScript = `(() => {
  const body = document.body, words = (name) => (body.getAttribute(name) || "").split(/\s+/).filter(Boolean);
  return {
    url: location.href, title: document.title, lang: document.documentElement.lang,
    screen: body.dataset.screen || "", reasons: words("data-reason"), reference: body.dataset.reference || "", app: body.dataset.app || "",
    text: body.innerText, source: document.documentElement.outerHTML,
    wide: document.scrollingElement.scrollWidth, room: document.scrollingElement.clientWidth,
    fonts: document.fonts.status === "loaded",
  };
})()`

// see tells what the window shows.
func (w *window) see() seen {
	w.tb.Helper()
	s, err := w.watch()
	if err != nil {
		w.tb.Fatal(err)
	}
	return s
}

// watch waits until the letters are there: they have a width.
func (w *window) watch() (seen, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	for {
		s, err := chromedp.Run(ctx, chromedp.Evaluate[seen](seeScript))
		if err != nil || s.Fonts {
			return s, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// trySee is for the words of a failure.
func (w *window) trySee() string {
	s, err := w.watch()
	if err != nil {
		return err.Error()
	}
	return s.URL + " (" + s.Screen + ")\n" + s.Text
}

// shot takes a picture of the whole page when PARVIS_SHOTS names a folder.
func (w *window) shot(name string) {
	w.tb.Helper()
	dir := os.Getenv("PARVIS_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		w.tb.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		w.tb.Fatal(err)
	}
}

const axeScript = `axe.run(document, {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}}).then((found) => found.violations.map((v) =>
  v.id + " (" + v.impact + "): " + v.help + "\n" + v.nodes.map((n) => "    " + n.target.join(" ") + ": " + n.failureSummary.replace(/\s+/g, " ")).join("\n")))`

// accessible lists what axe-core finds wrong with the page. Its source comes in
// through the debugger, which no policy of the page holds back.
func (w *window) accessible(axe string) []string {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	has, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`typeof window.axe === "object"`))
	if err != nil {
		w.tb.Fatal(err)
	}
	if !has {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](axe+";true")); err != nil {
			w.tb.Fatal(err)
		}
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](axeScript, chromedp.EvalAwaitPromise))
	if err != nil {
		w.tb.Fatal(err)
	}
	return found
}

// has tells whether a page refuses for a reason.
func (s seen) has(code string) bool { return slices.Contains(s.Reasons, code) }
