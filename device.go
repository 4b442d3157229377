package parvis

import "time"

// DeviceID names a device that was seen or declared.
type DeviceID string

// Device is a browser or a machine from which an agent proved themselves, or
// which IT validated for the VPN.
type Device struct {
	ID        DeviceID
	Agent     AgentNumber
	Name      string
	Validated bool // by IT, for the VPN
	Pending   bool // a request for validation is waiting
	FirstSeen time.Time
	LastSeen  time.Time
}
