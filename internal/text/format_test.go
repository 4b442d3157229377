package text

import (
	"strings"
	"testing"
	"time"
)

type sealed struct{ secret string }

func (sealed) String() string { return "[sealed]" }

type word string

func TestFormat(t *testing.T) {
	c := load(t)
	at := time.Date(2026, 3, 3, 14, 20, 0, 0, time.UTC)
	for _, tt := range []struct {
		v      any
		fr, en string
	}{
		{0, "0", "0"},
		{999, "999", "999"},
		{12345, "12~345", "12,345"},
		{-1234567, "-1~234~567", "-1,234,567"},
		{uint8(7), "7", "7"},
		{uint64(1 << 63), "9223372036854775808", "9223372036854775808"},
		{word("vpn"), "vpn", "vpn"},
		{sealed{"x"}, "[sealed]", "[sealed]"},
		{[]string{}, "", ""},
		{[]string{"a"}, "a", "a"},
		{[]string{"a", "b"}, "a et b", "a and b"},
		{[]string{"a", "b", "c"}, "a, b et c", "a, b and c"},
		{at, "mardi 3_mars à 14_h_20", "Tuesday 3_March at 14:20"},
		{&at, "mardi 3_mars à 14_h_20", "Tuesday 3_March at 14:20"},
		{(*time.Time)(nil), "", ""},
		{time.Time{}, "", ""},
		{time.Duration(0), "0_seconde", "0_seconds"},
		{-time.Hour, "0_seconde", "0_seconds"},
		{time.Millisecond, "1_seconde", "1_second"},
		{59 * time.Second, "59_secondes", "59_seconds"},
		{59*time.Second + 1, "1_minute", "1_minute"},
		{time.Minute, "1_minute", "1_minute"},
		{61 * time.Second, "2_minutes", "2_minutes"},
		{90 * time.Minute, "1_heure 30_minutes", "1_hour 30_minutes"},
		{2 * time.Hour, "2_heures", "2_hours"},
		{48 * time.Hour, "48_heures", "48_hours"},
		{72 * time.Hour, "3_jours", "3_days"},
		{73 * time.Hour, "3_jours 1_heure", "3_days 1_hour"},
		{1500 * 24 * time.Hour, "1~500_jours", "1,500_days"},
	} {
		for l, want := range map[Lang]string{French: tt.fr, English: tt.en} {
			want = strings.NewReplacer("_", noBreak, "~", noBreakThin).Replace(want)
			if got := c.Format(l, tt.v); got != want {
				t.Errorf("Format(%s, %v) = %q, want %q", l, tt.v, got, want)
			}
		}
	}
}

func TestTimeIsWrittenByTheNameItFills(t *testing.T) {
	paris := time.FixedZone("Paris", 3600)
	at := time.Date(2026, 5, 1, 7, 5, 0, 0, paris)
	noon := time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		t, now time.Time
		fr, en string
	}{
		{"date", at, time.Time{}, "vendredi 1er_mai 2026", "Friday 1_May 2026"},
		{"close_date", at, at, "vendredi 1er_mai", "Friday 1_May"},
		{"date", at, at.AddDate(-1, 0, 0), "vendredi 1er_mai 2026", "Friday 1_May 2026"},
		{"time", at, time.Time{}, "7_h_05", "07:05"},
		{"from_time", at, at, "7_h_05", "07:05"},
		{"time", at, at.AddDate(0, 0, -1), "vendredi 1er_mai à 7_h_05", "Friday 1_May at 07:05"},
		{"time", at, time.Date(2026, 4, 30, 23, 30, 0, 0, time.UTC), "7_h_05", "07:05"},
		{"date_time", at, time.Time{}, "vendredi 1er_mai à 7_h_05", "Friday 1_May at 07:05"},
		{"since", at, at.AddDate(1, 0, 0), "vendredi 1er_mai 2026 à 7_h_05", "Friday 1_May 2026 at 07:05"},
		{"when", noon, time.Time{}, "jeudi 31_décembre à 23_h", "Thursday 31_December at 23:00"},
	} {
		for l, want := range map[Lang]string{French: tt.fr, English: tt.en} {
			want = strings.ReplaceAll(want, "_", noBreak)
			if got := formatTime(l, tt.name, tt.t, tt.now); got != want {
				t.Errorf("%s in %s: got %q, want %q", tt.name, l, got, want)
			}
		}
	}
}

func TestShortDuration(t *testing.T) {
	c := load(t)
	for _, tt := range []struct {
		d      time.Duration
		fr, en string
	}{
		{0, "0_s", "0_s"},
		{45 * time.Second, "45_s", "45_s"},
		{16 * time.Minute, "16_min", "16_min"},
		{90 * time.Minute, "1_h_30_min", "1_h_30_min"},
		{96 * time.Hour, "4_j", "4_d"},
	} {
		for l, want := range map[Lang]string{French: tt.fr, English: tt.en} {
			want = strings.ReplaceAll(want, "_", noBreak)
			if got := c.format(l, "lead_short", tt.d, time.Time{}); got != want {
				t.Errorf("%v in %s: got %q, want %q", tt.d, l, got, want)
			}
		}
	}
}
