package gateway

import (
	"net/http"
	"net/textproto"
	"strings"
)

// clean leaves in a request what may reach an application, and nothing that
// it could take for the word of the front door (RFC 9700 §4.13, ASVS 4.1.3):
// who is there, through what they came, under which address. Applications,
// and the modules in front of them, believe more names than anybody can list;
// so what passes is listed.
func (up *upstream) clean(h http.Header) {
	for name := range h {
		if !up.passes(name) {
			delete(h, name)
		}
	}
}

// passes tells whether a request header or trailer reaches the application.
// name is as net/http gives it: each word begins with a capital.
func (up *upstream) passes(name string) bool { return usual[name] || family(name) || up.extra[name] }

// sameOrigin has no exceptions.
var sameOrigin = http.NewCrossOriginProtection()

// foreign tells whether the page of another site makes a browser act here, in
// the name of whoever sits before it: with a method that changes something (RFC
// 9110 §9.2.1), or with a WebSocket, which asks with GET and is held to no
// same-origin rule (RFC 6455 §10.2). Sibling applications are other sites. A
// program sends neither Sec-Fetch-Site nor Origin, and no page deceives it.
func foreign(r *http.Request) bool {
	if len(r.Header["Upgrade"]) > 0 {
		changing := *r
		changing.Method = http.MethodPost
		r = &changing
	}
	return sameOrigin.Check(r) != nil
}

// usual are the request headers of the registry (RFC 9110 §18.4) that go from
// end to end and say nothing of who is there or whence, and those by which
// browsers and the scripts of pages work.
//
// Not here on purpose: From (RFC 9110 §10.1.2), which says who; Via, Max-Forwards,
// Early-Data and Alt-Used, which say whence; X-Http-Method-Override, which
// would make of a request something else than what was looked at; Baggage and
// Grpc-Metadata-*, which carry names of the client's choice.
var usual = set(`
	Accept Accept-Charset Accept-Encoding Accept-Language Authorization Cache-Control Cookie Date Dpop Expect
	Content-Digest Content-Disposition Content-Encoding Content-Language Content-Length Content-Location Content-Md5 Content-Range Content-Type
	Digest Idempotency-Key If If-Match If-Modified-Since If-None-Match If-Range If-Schedule-Tag-Match If-Unmodified-Since Link Mime-Version Origin
	Pragma Prefer Priority Range Referer Repr-Digest Signature Signature-Input Slug Te Trailer User-Agent Want-Content-Digest Want-Repr-Digest

	Connection Upgrade

	Device-Memory Dnt Downlink Dpr Ect Last-Event-Id Ping-From Ping-To Purpose Rtt Save-Data Sec-Gpc Sec-Purpose Sec-Storage-Access
	Service-Worker Service-Worker-Navigation-Preload Upgrade-Insecure-Requests Viewport-Width Width
	Access-Control-Request-Headers Access-Control-Request-Method Access-Control-Request-Private-Network
	Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User
	Sec-Ch-Ua Sec-Ch-Ua-Mobile Sec-Ch-Ua-Platform

	X-Requested-With X-Requested-By X-Csrf-Token X-Csrftoken X-Xsrf-Token Csrf-Token Xsrf-Token Requestverificationtoken Requesttoken
	Jenkins-Crumb X-Atlassian-Token X-Api-Key X-Api-Version Api-Version X-Timezone X-Timezone-Offset
	X-Request-Id X-Correlation-Id Request-Id Traceparent Tracestate Sentry-Trace

	Faces-Request Soapaction X-Pjax X-Pjax-Container X-Livewire X-Microsoftajax X-Gwt-Permutation X-Gwt-Module-Base X-Inertia
	Rsc Next-Action Next-Router-Prefetch Next-Router-State-Tree Next-Url X-Nextjs-Data X-Sveltekit-Action X-Turbo-Request-Id X-Turbolinks-Referrer
	Connect-Protocol-Version Connect-Timeout-Ms Grpc-Accept-Encoding Grpc-Encoding Grpc-Timeout X-Grpc-Web
	Apollo-Require-Preflight Graphql-Preflight X-Apollo-Operation-Name

	Apply-To-Redirect-Ref Brief Dav Depth Destination Label Lock-Token Ordering-Type Overwrite Position Schedule-Reply Timeout Translate
	Oc-Checksum Oc-Chunk-Offset Oc-Chunk-Size Oc-Chunked Oc-Total-Length Ocs-Apirequest X-Oc-Ctime X-Oc-Mtime X-Nc-Webdav-Automkcol
	X-File-Name X-File-Size X-File-Type`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// family tells whether a name is of a family that passes whole.
func family(name string) bool {
	first, rest, ok := strings.Cut(name, "-")
	if !ok || !plain(rest) {
		return false
	}
	switch first {
	case "Accept", "Content", "If", "Hx", "Turbo", "Tus", "Upload":
		return true
	case "Sec":
		return strings.HasPrefix(rest, "Fetch-") || strings.HasPrefix(rest, "Ch-") || strings.HasPrefix(rest, "Websocket-")
	case "X":
		return strings.HasPrefix(rest, "Inertia-") || strings.HasPrefix(rest, "Up-")
	}
	return false
}

// plain tells whether a name has nothing but letters, digits and hyphens. CGI,
// FastCGI, WSGI and PHP make one variable of X-User, X_User and, on some
// servers, X.User (RFC 3875 §4.1.18): of two such names only one is honest.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// ours tells whether a name is one by which the front door speaks, the proxies
// it replaces spoke, or one connection is described: an application may ask
// for any name but these.
func ours(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(strings.Map(func(r rune) rune {
		if r < 0x80 && plain(string(r)) {
			return r
		}
		return '-'
	}, name))
	first, rest, _ := strings.Cut(name, "-")
	if first == "X" {
		first, _, _ = strings.Cut(rest, "-")
	}
	switch first {
	case "Parvis", "Remote", "Forwarded", "Real", "Original", "Rewrite", "Proxy", // families, with X- and without
		"Host", "Connection", "Keep", "Transfer", "Trailer", "Te", "Upgrade", "Http2", "Via", "":
		return true
	}
	switch strings.TrimPrefix(name, "X-") {
	case "Client-Ip", "True-Client-Ip", "Cluster-Client-Ip", "Client-Cert", "Client-Cert-Chain":
		return true
	}
	return false
}

// asked gives the names that an application asks for besides the usual ones,
// and those that it cannot have.
func asked(names []string) (may map[string]bool, not []string) {
	for _, name := range names {
		if name = strings.TrimSpace(name); ours(name) {
			not = append(not, name)
			continue
		}
		if may == nil {
			may = map[string]bool{}
		}
		may[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	return may, not
}
