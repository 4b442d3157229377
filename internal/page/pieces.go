package page

import (
	"context"
	"io"
	"strconv"

	"github.com/a-h/templ"
)

// Mark is the sign that accompanies a status. The words always come first.
type Mark string

// The marks.
const (
	Open   Mark = "open"
	Done   Mark = "done"
	Todo   Mark = "todo"
	Wait   Mark = "wait"
	Warn   Mark = "warn"
	Stop   Mark = "stop"
	Locked Mark = "locked"
	Info   Mark = "info"
)

func (m Mark) icon() string {
	switch m {
	case Open:
		return "arrow-right"
	case Done:
		return "circle-check"
	case Todo:
		return "circle-dashed"
	case Wait:
		return "clock"
	case Warn:
		return "alert-triangle"
	case Stop:
		return "circle-x"
	case Locked:
		return "lock"
	}
	return "info-circle"
}

// Stack puts components under one another with the rhythm of the page.
type Stack []templ.Component

// Columns puts components side by side where there is room.
type Columns []templ.Component

// Para is one paragraph.
type Para string

// List is a plain list of sentences.
type List []string

// Section is a titled part of a page (h2).
type Section struct {
	ID, Title, Lead string
	Body            templ.Component
}

// Link is a link by GET. Lang is set when the text is in another language.
type Link struct {
	Text, Href, Icon, Lang string
	Current                bool
	Out                    bool // it leads to another site; it is marked
}

// Links is a list of links, one a line.
type Links []Link

// State is a status: text first, sign second, colour last.
type State struct {
	Mark Mark
	Text string
}

// Fact is one line of a Record.
type Fact struct {
	Term, Text string
	Mono       bool
	Value      templ.Component // in place of Text: a State, a Masked…
}

// Record is a definition list.
type Record []Fact

// Notice stays on the page until what it says is no longer true. Alert makes
// screen readers announce it at once: for the outcome of a form only.
type Notice struct {
	Mark        Mark
	Title, Text string
	Alert       bool
	Actions     []Button
}

// Task is one step of a task list that can be resumed. Number is its place
// when the list goes on from elsewhere; 0 counts from 1.
type Task struct {
	Number      int
	Title, Text string
	State       State
	Action      *Button // at most one
}

// Tasks is the numbered task list.
type Tasks []Task

// Progress says in words how far things are; the bar only repeats it.
type Progress struct {
	Text        string
	Done, Total int
}

// Tile is one application. The whole tile is one link. It is raised when
// State.Mark is Open, part of the ground otherwise.
type Tile struct {
	Name, For, Href, Icon string
	State                 State
	Way                   string
	Out                   bool // it leads to another site; it is marked
}

// Tiles is a titled group of tiles.
type Tiles struct {
	Title string
	Tiles []Tile
}

// Launcher lays groups of tiles out so that small groups share a line.
type Launcher []Tiles

// Check is one line of « Ce qui est bon, ce qui manque ».
type Check struct {
	OK   bool
	Text string
}

// Checklist says what is right and what is missing.
type Checklist []Check

// Step is one numbered thing to do. Parts are done one after the other.
type Step struct {
	Title, Text string
	Parts       []string
	By          string // who, how long, from when: one short sentence
	Actions     []Button
}

// Ticket is what to give to the support desk.
type Ticket struct {
	Reference string
	Facts     Record
}

// Refusal is the answer to "why not": the page's h1 says what, and these say
// why, what is already right, what to do, what works meanwhile, who helps.
type Refusal struct {
	Why       []string
	Checks    Checklist
	Steps     []Step
	Meanwhile string
	Here      []Link // what opens here and now
	Ticket    *Ticket
	People    []Person
	Other     *Link // « Ce n'est pas mon problème »
}

// Person is somebody who can help.
type Person struct {
	Role, Name, Phone, Hours, Email string
	Open                            *State // open now, or when it reopens
}

// People is a list of persons.
type People []Person

// Account is one of the two accounts.
type Account struct {
	Title, For string
	State      State
	Facts      Record
	Actions    []Button
}

// Pair shows the two accounts side by side. Link says what ties them.
type Pair struct {
	First, Second Account
	Link          string
}

// Place is one line of a Matrix: an entrance (1, 2, 3 as in Channel), what it
// is, the state there, and how to get it.
type Place struct {
	Entrance int
	Name     string
	Detail   string
	State    State
	Way      string
	Here     bool
}

// Matrix is where × state, a real table.
type Matrix struct {
	Caption, Where, State string
	Places                []Place
}

// Row is one proof, device or session with what can be done about it.
type Row struct {
	Name, Text, Icon string
	State            *State
	Note             string // why it is locked, by whose decision
	Actions          []Button
}

// Rows is a list of rows.
type Rows []Row

// Event is one line of a Timeline. At is machine time (RFC 3339).
type Event struct {
	When, At, Title, Text, By string
	Mark                      Mark
}

// Timeline is a list of events, newest first.
type Timeline []Event

// Column heads a Table. Sort, when set, is the href that sorts by it.
type Column struct {
	Text, Sort string
	Number     bool
	Sorted     string // "ascending", "descending" or ""
}

// Cell is one cell. The first cell of a row is its header.
type Cell struct {
	Text, Href string
	Mono       bool
	Value      templ.Component
}

// Table has a sticky head and a caption. Empty stands in its place when it
// has no rows.
type Table struct {
	Caption string
	Columns []Column
	Rows    [][]Cell
	Empty   *Empty
}

// Masked is a value hidden by default. Spoken is what a screen reader says in
// place of the dots; Reveal, when set, is the recorded act that shows it.
type Masked struct {
	Text, Spoken string
	Reveal       *Button
}

// Confirm spells out the consequences of an act before it is done.
type Confirm struct {
	Title, Text string
	Outcomes    []State
	Form        Form
}

// Empty is a place where nothing is yet, with the next step.
type Empty struct {
	Title, Text string
	Action      *Button
	Drawing     bool
}

// Square is the drawing: a façade and its three entrances. Entrance opens one
// of them.
type Square struct{ Entrance int }

// render keeps the list below one line a piece.
func render(ctx context.Context, w io.Writer, c templ.Component) error { return c.Render(ctx, w) }

// Render writes the piece.
func (s Stack) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, stack(s)) }

// Render writes the piece.
func (c Columns) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, columns(c)) }

// Render writes the piece.
func (p Para) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, para(string(p))) }

// Render writes the piece.
func (l List) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, list(l)) }

// Render writes the piece.
func (s Section) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, section(s)) }

// Render writes the piece.
func (l Links) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, links(l)) }

// Render writes the piece.
func (s State) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, state(s)) }

// Render writes the piece.
func (r Record) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, record(r)) }

// Render writes the piece.
func (n Notice) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, notice(n)) }

// Render writes the piece.
func (t Tasks) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, tasks(t)) }

// Render writes the piece.
func (p Progress) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, progress(p)) }

// Render writes the piece.
func (t Tiles) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, tiles(t)) }

// Render writes the piece.
func (l Launcher) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, launcher(l)) }

// Render writes the piece.
func (c Checklist) Render(ctx context.Context, w io.Writer) error {
	return render(ctx, w, checklist(c))
}

// Render writes the piece.
func (r Refusal) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, refusal(r)) }

// Render writes the piece.
func (t Ticket) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, ticket(t)) }

// Render writes the piece.
func (p People) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, people(p)) }

// Render writes the piece.
func (p Pair) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, pair(p)) }

// Render writes the piece.
func (m Matrix) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, matrix(m)) }

// Render writes the piece.
func (r Rows) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, rows(r)) }

// Render writes the piece.
func (t Timeline) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, timeline(t)) }

// Render writes the piece.
func (t Table) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, table(t)) }

// Render writes the piece.
func (m Masked) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, masked(m)) }

// Render writes the piece.
func (c Confirm) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, confirm(c)) }

// Render writes the piece.
func (e Empty) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, empty(e)) }

// Render writes the piece.
func (s Square) Render(ctx context.Context, w io.Writer) error {
	return render(ctx, w, square(s.Entrance))
}

func (p Person) tel() templ.SafeURL {
	n := make([]byte, 0, len(p.Phone))
	for i := range len(p.Phone) {
		if c := p.Phone[i]; c >= '0' && c <= '9' || c == '+' {
			n = append(n, c)
		}
	}
	return templ.SafeURL("tel:" + string(n))
}

func (t Task) number(i int) string {
	if t.Number == 0 {
		return strconv.Itoa(i + 1)
	}
	return strconv.Itoa(t.Number)
}

func (t Table) label(i int) string {
	if i < len(t.Columns) {
		return t.Columns[i].Text
	}
	return ""
}

func (t Table) number(i int) bool { return i < len(t.Columns) && t.Columns[i].Number }

func (c Column) class() string {
	if c.Number {
		return "num"
	}
	return ""
}
