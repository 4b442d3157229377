package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a connection: enough for a slow telephone, too little for an attack
// that only waits.
const (
	headerWait = 10 * time.Second
	formWait   = 15 * time.Second // for the whole of a form
	pageWait   = time.Minute      // for the whole of a page, hashing included
	idleWait   = 2 * time.Minute
	maxHeader  = 64 << 10
	drainWait  = 8 * time.Second
)

// Server listens at one entrance.
type Server struct {
	Entrance Entrance
	server   *http.Server
	listener net.Listener
}

// Listen opens an entrance. Nothing is answered before Serve.
func (e *Edge) Listen(en Entrance) (*Server, error) {
	l, err := net.Listen("tcp", en.Listen)
	if err != nil {
		return nil, err
	}
	return &Server{Entrance: en, listener: l, server: NewHTTPServer(e.Handler(en), e.Log)}, nil
}

// NewHTTPServer gives a server with the limits of the house.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerWait,
		IdleTimeout:       idleWait,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Address tells where the entrance really listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve answers until ctx ends, then lets requests finish, a few seconds at most.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() {
		if s.Entrance.CertFile != "" {
			failed <- s.server.ServeTLS(s.listener, s.Entrance.CertFile, s.Entrance.KeyFile)
			return
		}
		failed <- s.server.Serve(s.listener)
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWait)
	defer cancel()
	if err := s.server.Shutdown(drain); err != nil {
		_ = s.server.Close() // streams that outlive the drain are cut
	}
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ListenPlain opens a listener beside the entrances, with the same limits and
// nothing before h: for operations.
func ListenPlain(address string, h http.Handler, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Server{listener: l, server: NewHTTPServer(h, log)}, nil
}
