package credential

import (
	"math"
	"slices"
	"strings"
)

// estimate says how many guesses a good attacker needs for a password, as a
// base-10 logarithm: the cheapest way to put it together from words, walks on
// the keyboard, sequences, dates, repetitions and single signs. It follows the idea of
// zxcvbn (Wheeler, USENIX Security 2016) with costs of its own: each piece costs its
// guesses and a factor of two for its kind.
type estimator struct {
	*words
	own []string // folded words that are no secret here: almost free
}

const (
	kind       = 0.3 // every piece: which kind it is
	leastWord  = 1.7 // even the commonest word is one among fifty
	ownWord    = 0.3
	letterCost = 1.1
	digitCost  = 1.0
	signCost   = 1.4
	otherCost  = 1.7 // outside ASCII
	againCost  = 0.3 // the same sign once more: a habit, not a choice
	upperCost  = 0.2
)

// guesses gives the estimate, and whether one of the words that are no secret
// is part of it.
func (e estimator) guesses(password []letter) (float64, bool) {
	p := piecing{estimator: e, all: password, blocks: map[string]solved{}}
	p.singles()
	p.plain = make([]rune, len(password))
	for i, l := range password {
		p.plain[i] = l.fold
	}
	p.variants = leet(p.plain)
	return p.solve(0, len(password), true)
}

// piecing is one password under examination.
type piecing struct {
	estimator
	all      []letter
	plain    []rune
	variants [][]rune // plain, and what it may stand for
	single   []float64
	blocks   map[string]solved
}

// solved is what is known of a repeated block.
type solved struct {
	cost float64
	own  bool
}

// step is the cheapest way to reach a place: ending in a piece, or in a run
// of single signs.
type step struct {
	cost [2]float64 // 0 after a piece, 1 inside a run of signs
	own  [2]bool
}

func (s step) best() (float64, bool) {
	if s.cost[1] < s.cost[0] {
		return s.cost[1], s.own[1]
	}
	return s.cost[0], s.own[0]
}

// solve finds the cheapest way from one place to another.
func (p *piecing) solve(from, to int, repeats bool) (float64, bool) {
	steps := make([]step, to-from+1)
	for i := range steps {
		steps[i].cost = [2]float64{math.Inf(1), math.Inf(1)}
	}
	steps[0].cost[0] = 0
	for i := from; i < to; i++ {
		here := steps[i-from]
		// One more single sign.
		next := &steps[i-from+1]
		begin, run := here.cost[0]+kind+p.single[i], here.cost[1]+p.single[i]
		if p.separates(i) {
			begin = here.cost[0] + p.single[i]
		}
		if begin < next.cost[1] {
			next.cost[1], next.own[1] = begin, here.own[0]
		}
		if run < next.cost[1] {
			next.cost[1], next.own[1] = run, here.own[1]
		}
		// A piece.
		cost, own := here.best()
		p.pieces(i, to, i == from, repeats, func(end int, guesses float64, mine bool) {
			at := &steps[end-from]
			if total := cost + guesses + kind; total < at.cost[0] {
				at.cost[0], at.own[0] = total, own || mine
			}
		})
	}
	return steps[to-from].best()
}

// singles prices each sign by itself.
func (p *piecing) singles() {
	p.single = make([]float64, len(p.all))
	seen := map[rune]bool{}
	for i, l := range p.all {
		switch r := l.fold; {
		case r >= 'a' && r <= 'z':
			p.single[i] = letterCost
		case r >= '0' && r <= '9':
			p.single[i] = digitCost
		case seen[r]:
			p.single[i] = againCost
		case r < 0x80:
			p.single[i] = signCost
		default:
			p.single[i] = otherCost
		}
		if l.upper || l.accent {
			p.single[i] += upperCost
		}
		seen[l.fold] = true
	}
}

// separates tells whether a sign stands between words as a hyphen does.
func (p *piecing) separates(i int) bool {
	r := p.plain[i]
	return r < 0x80 && (r < '0' || r > '9') && (r < 'a' || r > 'z')
}

// pieces offers every piece that begins at i and ends by to.
func (p *piecing) pieces(i, to int, first, repeats bool, offer func(end int, guesses float64, own bool)) {
	p.dictionary(i, to, first, offer)
	if end := p.sequence(i, to); end-i >= 3 {
		offer(end, math.Log10(26*float64(end-i)), false)
	}
	for _, rows := range keyboards() {
		for end, turns := i+1, 0; ; {
			next, turned := p.walk(rows, i, end, to)
			if !next {
				break
			}
			end++
			if turned {
				turns++
			}
			if end-i >= 4 {
				offer(end, 1.7+math.Log10(float64(end-i))+0.7*float64(turns), false)
			}
		}
	}
	p.dates(i, to, offer)
	if !repeats {
		return
	}
	whole := 0 // the smallest block found, and how far it reaches
	reach := 0
	for size := 1; i+2*size <= to; size++ {
		if whole > 0 && size%whole == 0 && i+2*size <= reach {
			continue // the same repetition, told at greater length
		}
		n := 1
		for i+(n+1)*size <= to && slices.Equal(p.plain[i:i+size], p.plain[i+n*size:i+(n+1)*size]) {
			n++
		}
		if n < 2 || (size == 1 && n < 3) {
			continue
		}
		if whole == 0 {
			whole, reach = size, i+n*size
		}
		block, own := p.block(i, i+size)
		offer(i+n*size, block+math.Log10(float64(n)), own)
	}
}

// block solves what is repeated. A periodic password has the same few blocks
// everywhere: they are solved once, whatever their capitals.
func (p *piecing) block(from, to int) (float64, bool) {
	text := string(p.plain[from:to])
	known, ok := p.blocks[text]
	if !ok {
		known.cost, known.own = p.solve(from, to, false)
		p.blocks[text] = known
	}
	return known.cost, known.own
}

// dictionary offers the words that begin at i, as they stand, with signs for
// letters, or backwards. The filter of leaked passwords is asked only about how
// a password begins or ends: asked about every part of a long one, its rare
// mistakes would add up.
func (p *piecing) dictionary(i, to int, first bool, offer func(int, float64, bool)) {
	buffer := make([]byte, 0, longestWord)
	for n, text := range p.variants {
		for end := i + 2; end <= min(to, i+longestWord); end++ {
			swapped := 0
			buffer = buffer[:0]
			for k := i; k < end; k++ {
				if text[k] != p.plain[k] {
					swapped++
				}
				buffer = append(buffer, string(text[k])...)
			}
			if n > 0 && swapped == 0 {
				continue
			}
			extra := p.dressed(i, end) + 0.3*float64(swapped)
			if slices.Contains(p.own, string(buffer)) {
				offer(end, ownWord+extra, true)
			}
			if rank, ok := p.of(buffer); ok {
				offer(end, max(leastWord, rank)+extra, false)
			} else if end-i >= 6 && (first || end == to) && p.leaked(buffer) {
				offer(end, 5.6+extra, false)
			}
			slices.Reverse(buffer)
			if rank, ok := p.of(buffer); ok && end-i >= 4 {
				offer(end, max(leastWord, rank)+0.3+extra, false)
			}
		}
	}
}

// dressed prices capitals and accents: a capital first, or all of them, is the
// usual dress.
func (p *piecing) dressed(i, end int) float64 {
	upper, accents := 0, 0.0
	for _, l := range p.all[i:end] {
		if l.upper {
			upper++
		}
		if l.accent {
			accents = 0.3
		}
	}
	switch {
	case upper == 0:
		return accents
	case upper == end-i || (upper == 1 && p.all[i].upper):
		return 0.3 + accents
	}
	ways := 0.0
	for k := range min(upper, end-i-upper) {
		ways += math.Log10(float64(end-i-k)) - math.Log10(float64(k+1))
	}
	return 0.3 + ways + accents
}

// sequence ends a run such as abcd, 9876 or 2468 that begins at i.
func (p *piecing) sequence(i, to int) int {
	if i+1 >= to {
		return i
	}
	by := p.plain[i+1] - p.plain[i]
	end := i + 1
	for end < to && p.plain[end]-p.plain[end-1] == by {
		end++
	}
	if by < -2 || by > 2 || by == 0 {
		return i
	}
	return end
}

// keyboards lists the rows of the two layouts that people here have.
func keyboards() [][]string {
	return [][]string{
		{"1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"},
		{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"},
	}
}

// walk tells whether the sign at end is beside the one before, and whether the
// direction changed.
func (p *piecing) walk(rows []string, i, end, to int) (beside, turned bool) {
	if end >= to {
		return false, false
	}
	x0, y0 := key(rows, p.plain[end-1])
	x1, y1 := key(rows, p.plain[end])
	dx, dy := x1-x0, y1-y0
	if x0 < 0 || x1 < 0 || dx < -1 || dx > 1 || dy < -1 || dy > 1 || (dx == 0 && dy == 0) {
		return false, false
	}
	if end-2 < i {
		return true, false
	}
	x, y := key(rows, p.plain[end-2])
	return true, x0-x != dx || y0-y != dy
}

func key(rows []string, r rune) (x, y int) {
	for y, row := range rows {
		if x := strings.IndexRune(row, r); x >= 0 {
			return x, y
		}
	}
	return -1, -1
}

// dates offers years, and days with their month and year.
func (p *piecing) dates(i, to int, offer func(int, float64, bool)) {
	number := func(from, size int) int {
		n := 0
		for _, r := range p.plain[from : from+size] {
			if r < '0' || r > '9' {
				return -1
			}
			n = 10*n + int(r-'0')
		}
		return n
	}
	if i+4 <= to {
		if y := number(i, 4); y >= 1900 && y < 2060 {
			offer(i+4, 2.2, false)
		}
	}
	for _, sep := range []int{0, 1} {
		for _, year := range []int{2, 4} {
			if end := i + 4 + 2*sep + year; end <= to {
				d, m, y := number(i, 2), number(i+2+sep, 2), number(i+4+2*sep, year)
				if d < 1 || m < 1 || d > 31 || m > 31 || (d > 12 && m > 12) || y < 0 || (year == 4 && (y < 1900 || y >= 2060)) {
					continue
				}
				offer(end, 4.6+0.3*float64(sep), false)
			}
		}
	}
}

// leet gives the text, and what it reads as when signs stand for letters; 1
// and ! may stand for two.
func leet(text []rune) [][]rune {
	all := [][]rune{text}
	for _, one := range []rune{'i', 'l'} {
		read := slices.Clone(text)
		for i, r := range text {
			switch r {
			case '1', '!', '|':
				read[i] = one
			case '0':
				read[i] = 'o'
			case '3', '€':
				read[i] = 'e'
			case '4', '@':
				read[i] = 'a'
			case '5', '$':
				read[i] = 's'
			case '7', '+':
				read[i] = 't'
			case '8':
				read[i] = 'b'
			case '9':
				read[i] = 'g'
			}
		}
		if !slices.Equal(read, text) && !slices.Equal(read, all[len(all)-1]) {
			all = append(all, read)
		}
	}
	return all
}
