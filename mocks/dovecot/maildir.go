package dovecot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (s *Server) mail() string { return filepath.Join(s.dir, "mail") }

// Maildir is a folder of a user's mailbox on disk; INBOX is the Maildir itself, others are ".Name" in it, in modified
// UTF-7. It is made when it is not there.
func (s *Server) Maildir(user, folder string) (string, error) {
	home := filepath.Join(s.mail(), user)
	path := filepath.Join(home, "Maildir")
	dirs := []string{home, path}
	if !strings.EqualFold(folder, "INBOX") {
		path = filepath.Join(path, "."+folder)
		dirs = append(dirs, path)
	}
	for _, dir := range append(dirs, filepath.Join(path, "tmp"), filepath.Join(path, "new"), filepath.Join(path, "cur")) {
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err := s.own(err, dir); err != nil {
			return "", err
		}
	}
	return path, nil
}

// own gives what has just been made to whoever reads the mail.
func (s *Server) own(err error, path string) error {
	if err != nil || os.Getuid() != 0 {
		return err
	}
	return os.Chown(path, s.uid, s.gid)
}

// Deliver puts messages into a folder, in their order, as a delivery agent does.
func (s *Server) Deliver(user, folder string, messages ...[]byte) error {
	dir, err := s.Maildir(user, folder)
	if err != nil {
		return err
	}
	for _, raw := range messages {
		s.mu.Lock()
		s.n++
		// Dovecot numbers new files by the first part of their names, and takes the sizes from the rest.
		name := fmt.Sprintf("%d.M%09dP1.localhost,S=%d,W=%d", time.Now().Unix(), s.n, len(raw), len(raw)+bytes.Count(raw, []byte("\n"))-bytes.Count(raw, []byte("\r\n")))
		s.mu.Unlock()
		temp := filepath.Join(dir, "tmp", name)
		if err := s.own(os.WriteFile(temp, raw, 0o600), temp); err != nil {
			return err
		}
		if err := os.Rename(temp, filepath.Join(dir, "new", name)); err != nil {
			return err
		}
	}
	return nil
}

// Renumber gives a folder another UIDVALIDITY and its messages other UIDs, as a restored or moved mailbox has. Nobody may
// have it open.
func (s *Server) Renumber(user, folder string) error {
	dir, err := s.Maildir(user, folder)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "dovecot") && !e.IsDir() {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	list := filepath.Join(dir, "dovecot-uidlist")
	validity := time.Now().Unix() + 1000
	return s.own(os.WriteFile(list, fmt.Appendf(nil, "3 V%d N1 G%032x\n", validity, validity), 0o600), list)
}
