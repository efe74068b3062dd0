package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"raccordo/contracts"
)

// maxSocketPath is what the name of a socket may hold on the systems that we know: 104 bytes on BSD and macOS, 108 on
// Linux, a closing zero included.
const maxSocketPath = 103

// OperatorSocket is where a hub that serves listens for operators: beside the store, for whoever may read the store;
// or, where that name is too long for a socket, in the folder for temporary files under a name made from the store's.
func OperatorSocket(cfg *Config) (string, error) {
	beside := cfg.Store.Path + ".sock"
	if len(beside) <= maxSocketPath {
		return beside, nil
	}
	store, err := filepath.Abs(cfg.Store.Path)
	if err != nil {
		return "", contracts.Errorf(contracts.Invalid, "operator socket: %w", err)
	}
	name := sha256.Sum256([]byte(store))
	short := filepath.Join(os.TempDir(), "raccordo-"+hex.EncodeToString(name[:8])+".sock")
	if len(short) > maxSocketPath {
		return "", contracts.Errorf(contracts.Invalid, "operator socket: neither %s nor %s fits into %d bytes; name a shorter store.path", beside, short, maxSocketPath)
	}
	return short, nil
}

// operatorSocket is the socket of a hub that serves, if it is the hub's: whoever else can write to the folder for
// temporary files could have put one there.
func operatorSocket(cfg *Config) (string, error) {
	socket, err := OperatorSocket(cfg)
	if err != nil {
		return "", err
	}
	info, err := os.Lstat(socket)
	if err != nil {
		return "", contracts.Errorf(contracts.Unavailable, "operator socket: no hub serves: %w", err)
	}
	store, err := os.Stat(cfg.Store.Path)
	if err != nil {
		return "", contracts.Errorf(contracts.Unavailable, "operator socket: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 || !sameOwner(info, store) {
		return "", contracts.Errorf(contracts.Denied, "operator socket: %s is not a socket of the store's owner; remove it", socket)
	}
	return socket, nil
}

// listenOperators takes the socket's name, whatever a crash left there: the store's lock says that nobody else serves.
func listenOperators(cfg *Config) (net.Listener, error) {
	socket, err := OperatorSocket(cfg)
	if err != nil {
		return nil, err
	}
	if info, err := os.Lstat(socket); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, contracts.Errorf(contracts.Invalid, "operator socket: %s is there and is no socket; move it away", socket)
		}
		if err := os.Remove(socket); err != nil {
			return nil, contracts.Errorf(contracts.Unavailable, "operator socket: %w", err)
		}
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, contracts.Errorf(contracts.Unavailable, "operator socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("operator socket: %w", err), l.Close())
	}
	return l, nil
}
