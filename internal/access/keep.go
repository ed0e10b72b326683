package access

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/store"
)

// File keeps tokens in a file, for a service that runs alone. The command line may change it while the service runs.
type File struct{ Path string }

// Load implements Keeper. A file that isn't there holds none.
func (f File) Load(context.Context) ([]Token, error) {
	text, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Token
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "read the tokens in %s: %w", f.Path, err)
	}
	return all, nil
}

// Change implements Keeper: under a lock beside the file, and all or nothing.
func (f File) Change(ctx context.Context, do func([]Token) ([]Token, error)) error {
	fail := func(err error) error {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "write the tokens in %s: %w", f.Path, err), "choose a writable directory with --data")
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fail(err)
	}
	lock, err := os.OpenFile(f.Path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fail(err)
	}
	all, err := f.Load(ctx)
	if err != nil {
		return err
	}
	if all, err = do(all); err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fail(err)
	}
	temp, err := os.CreateTemp(filepath.Dir(f.Path), filepath.Base(f.Path)+".*.tmp") // readable by its owner alone
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(append(text, '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(temp.Name(), f.Path); err != nil {
		return fail(err)
	}
	return nil
}

// settingKey is where a Shared keeps its tokens.
const settingKey = "tokens"

// Shared keeps tokens in the store that services share.
type Shared struct{ Settings store.Settings }

// Load implements Keeper.
func (s Shared) Load(ctx context.Context) ([]Token, error) {
	all, _, err := s.load(ctx)
	return all, err
}

func (s Shared) load(ctx context.Context) (all []Token, version int64, err error) {
	text, version, err := s.Settings.Get(ctx, settingKey)
	if err != nil || version == 0 {
		return nil, 0, err
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, 0, crisol.Errorf(crisol.KindInternal, "read the tokens: %w", err)
	}
	return all, version, nil
}

// Change implements Keeper.
func (s Shared) Change(ctx context.Context, do func([]Token) ([]Token, error)) error {
	for {
		all, version, err := s.load(ctx)
		if err != nil {
			return err
		}
		if all, err = do(all); err != nil {
			return err
		}
		text, err := json.Marshal(all)
		if err != nil {
			return crisol.Errorf(crisol.KindInternal, "write the tokens: %w", err)
		}
		if _, err = s.Settings.Set(ctx, settingKey, text, version); !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
}
