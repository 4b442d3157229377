package config

import (
	"net/netip"
	"strings"
	"time"

	"parvis"
)

// Origins gives the portals that are set, by entrance.
func (c *Config) Origins() map[parvis.Channel]string {
	all := map[parvis.Channel]string{}
	for ch, origin := range map[parvis.Channel]string{parvis.Internal: c.Portals.Internal, parvis.VPN: c.Portals.VPN, parvis.Mobile: c.Portals.Mobile} {
		if origin != "" {
			all[ch] = origin
		}
	}
	return all
}

// ProfileList gives the profiles as the rest of the house knows them.
func (c *Config) ProfileList() []parvis.Profile {
	zone, err := time.LoadLocation(c.Hours.Zone)
	if err != nil { // which has its fault already
		zone = time.UTC
	}
	all := make([]parvis.Profile, len(c.Profiles))
	for i, p := range c.Profiles {
		all[i] = parvis.Profile{
			ID: parvis.ProfileID(p.ID), Label: parvis.Words(p.Label), Sensitive: p.Sensitive, PasswordDays: p.PasswordDays,
			RememberDays: p.RememberDays, Second: p.Second.second(zone),
		}
		if last := day(p.SMSUntil, zone); !last.IsZero() {
			all[i].SMSUntil = last.AddDate(0, 0, 1)
		}
	}
	return all
}

// Prefixes reads networks; a lone address is a network of one.
func Prefixes(list []string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			all = append(all, p.Masked())
		} else if a, err := netip.ParseAddr(s); err == nil {
			all = append(all, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		}
	}
	return all
}

// Weekdays gives the working days.
func (h Hours) Weekdays() []time.Weekday {
	var all []time.Weekday
	for _, d := range h.Days {
		if w, ok := weekday(d); ok {
			all = append(all, w)
		}
	}
	return all
}

// Durations gives the limits as durations.
func (l Limits) Durations() (idle, ends time.Duration) {
	idle, _ = time.ParseDuration(l.Idle) // checked by Parse
	ends, _ = time.ParseDuration(l.Max)
	return idle, ends
}

func channels(names []string) []parvis.Channel {
	var all []parvis.Channel
	for _, n := range names {
		all = append(all, parvis.Channel(n))
	}
	return all
}

func weekday(name string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(d.String(), name) {
			return d, true
		}
	}
	return 0, false
}
