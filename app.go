package parvis

// AppID names an application; it is also its host label.
type AppID string

// App is one application behind the door, as IT declared it.
type App struct {
	ID       AppID
	Name     Words
	Purpose  Words
	Group    Words  // the need under which the launcher shows it
	Owner    Words  // who grants it, with its article: "la direction des finances"
	Upstream string // URL of the application itself; http or https

	Channels       []Channel // the entrances through which it opens
	Reduced        []Channel // of those, where it opens in a reduced version
	ReducedCan     Words
	ReducedNot     Words
	Entitled       bool      // it needs an entitlement
	Second         bool      // it needs a second proof
	SecondStrength int       // … of at least this [ProofKind.Strength]; 0 means 1
	SecondOn       []Channel // where it asks for a second proof when one is enrolled
	OnDeviceVPN    bool      // on the VPN it needs a validated device
	OfficeHours    bool      // it opens during office hours only
	ProofMaxAge    Seconds   // how old the second proof may be; 0 for the whole session
	HRDocuments    bool      // pay slips and certificates: stays open in documents_only and while off
	HRService      bool      // an HR self-service: stays open in restricted_hr

	CrossOrigin bool // it takes posts from other sites and defends itself

	Headers bool // also send Remote-User and the like, not only Parvis-Assertion

	// PassHeaders names request headers that reach it besides the usual ones,
	// as its clients write them. No name by which the front door speaks can be
	// among them. Authorization always passes: whoever is behind the door may
	// show the application a token of its own.
	PassHeaders []string
}

// Seconds is a duration as a whole number of seconds, so that it reads in a file.
type Seconds int64
