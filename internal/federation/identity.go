package federation

import (
	"context"
	"encoding/pem"

	"parvis"
)

// Identity gives what a service provider has to know of the identity provider of
// an entrance when it cannot read its metadata: its name, and the certificate of
// the key that signs now, in PEM; empty when the key cannot be read.
func (f *Federation) Identity(ch parvis.Channel) (entity, certificate string) {
	f.ready()
	keys, err := f.keys(context.Background())
	if err != nil || len(keys) == 0 {
		return f.entity(ch), ""
	}
	return f.entity(ch), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keys[0].Cert}))
}
