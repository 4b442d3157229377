package page

import (
	"fmt"
	"math"
	"strconv"
)

type colour struct{ r, g, b uint8 }

// The grounds an accent has to be read on.
var (
	lightGrounds = []colour{{0xff, 0xff, 0xff}, {0xfb, 0xfa, 0xf6}, {0xf1, 0xef, 0xe7}}
	darkGrounds  = []colour{{0x12, 0x17, 0x1c}, {0x1a, 0x21, 0x28}, {0x0c, 0x10, 0x14}}
)

func parseColour(s string) (colour, error) {
	if len(s) != 7 || s[0] != '#' {
		return colour{}, fmt.Errorf("colour %q: want #rrggbb", s)
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		return colour{}, fmt.Errorf("colour %q: want #rrggbb", s)
	}
	return colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	lin := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(c.r) + 0.7152*lin(c.g) + 0.0722*lin(c.b)
}

// contrast is the contrast ratio of WCAG 2.2, 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

func worst(c colour, grounds []colour) float64 {
	w := 21.0
	for _, g := range grounds {
		w = min(w, contrast(c, g))
	}
	return w
}

func (c colour) lighter(t float64) colour {
	mix := func(v uint8) uint8 { return uint8(math.Round(float64(v) + (255-float64(v))*t)) }
	return colour{mix(c.r), mix(c.g), mix(c.b)}
}

// on is the ink that reads best on c.
func (c colour) on() colour {
	white, night := colour{0xff, 0xff, 0xff}, colour{0x0b, 0x14, 0x1a}
	if contrast(c, white) >= contrast(c, night) {
		return white
	}
	return night
}

// sheet is the stylesheet that replaces the accent in both themes.
func (b Brand) sheet() ([]byte, error) {
	light, err := parseColour(b.Accent)
	if err != nil {
		return nil, fmt.Errorf("page.NewAssets: accent: %w", err)
	}
	if w := worst(light, lightGrounds); w < 4.5 {
		return nil, fmt.Errorf("page.NewAssets: accent %s reads at %.1f:1 on the light ground; 4.5:1 is the least", light, w)
	}
	dark := light
	if b.AccentDark != "" {
		if dark, err = parseColour(b.AccentDark); err != nil {
			return nil, fmt.Errorf("page.NewAssets: dark accent: %w", err)
		}
		if w := worst(dark, darkGrounds); w < 4.5 {
			return nil, fmt.Errorf("page.NewAssets: dark accent %s reads at %.1f:1 on the dark ground; 4.5:1 is the least", dark, w)
		}
	} else {
		// 7:1 rather than the least: a lightened colour also fills buttons.
		for t := 0.0; worst(dark, darkGrounds) < 7; t += 0.05 {
			dark = light.lighter(t)
		}
	}
	l := fmt.Sprintf("--accent:%s;--on-accent:%s", light, light.on())
	d := fmt.Sprintf("--accent:%s;--on-accent:%s", dark, dark.on())
	return []byte(":root{" + l + "}\n@media (prefers-color-scheme:dark){:root:not([data-theme=light]){" + d + "}}\n:root[data-theme=dark]{" + d + "}\n"), nil
}
