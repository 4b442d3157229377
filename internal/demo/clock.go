package demo

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"parvis"
)

// Clock is the city's clock: the real one, moved. It keeps going.
type Clock struct {
	offset atomic.Int64
	file   string
}

// OpenClock reads how far the clock of the city in dir was moved; an empty dir
// gives a clock that is forgotten.
func OpenClock(dir string) *Clock {
	c := &Clock{}
	if dir != "" {
		c.file = filepath.Join(dir, "clock")
		if b, err := os.ReadFile(c.file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
				c.offset.Store(n)
			}
		}
	}
	return c
}

// Now tells the time in the city.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// farthest is how far the clock may be moved, either way.
const farthest = 50 * 365 * 24 * time.Hour

// Set moves the clock to t, at most fifty years away.
func (c *Clock) Set(t time.Time) error {
	d := time.Until(t) // saturates
	if d > farthest || d < -farthest {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "demo.Set", Err: errors.New("more than fifty years away")}
	}
	c.offset.Store(int64(d))
	if c.file == "" {
		return nil
	}
	return os.WriteFile(c.file, []byte(strconv.FormatInt(int64(d), 10)+"\n"), 0o600)
}
