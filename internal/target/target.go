// Package target turns a package URL or a directory into an immutable tree that a trial can lay at /work.
//
// In goes a Spec: a purl with its lock, or a directory. Out comes a Tree in a content-addressed cache, fetched through
// the ecosystem's own client with install scripts off, every transitive version pinned by the lock. A Tree that is in
// the cache needs neither network nor install. The package knows nothing of exploits and never runs the target's code.
package target

import "io/fs"

// Spec names what to prepare. Exactly one of Package and Dir is set.
type Spec struct {
	// Package is a versioned purl: pkg:npm/lodash@4.17.11, pkg:pypi/jinja2@2.10, pkg:golang/github.com/x/y@v1.2.3,
	// pkg:maven/group/artifact@1.0, pkg:cargo/name@0.1.0.
	Package string
	// With lists further purls of the same ecosystem that are installed beside it (a framework, a peer).
	With []string
	// Lock holds the lock files of this resolution (see Lock); nil resolves anew.
	Lock fs.FS
	// Dir is a tree to copy as it is; DirName is where it lies in the Tree ("app").
	Dir     fs.FS
	DirName string
}

// Tree is a prepared target: an immutable directory that is laid at /work in the sandbox.
type Tree struct {
	// Dir is the host directory. Nothing may write to it.
	Dir string
	// Extra are further layers to lay under Dir, shared by many targets (a warm compiler cache).
	Extra []string
	// Root is where the target's own tree lies, relative to Dir: what $TARGET names and a patch's paths are relative
	// to. npm: node_modules/NAME. PyPI: site-packages. Go and Maven: target. Crates: crate, for target is where cargo
	// builds. A directory: its name.
	Root string
	// Env is what the ecosystem's runtime needs to find the tree (PYTHONPATH, GOFLAGS, ...), for paths under /work.
	Env []string
	// Ecosystem is npm, pypi, golang, maven, cargo or dir.
	Ecosystem string
	// Digest identifies the tree's content: sha256 over every path, mode and byte, in hex.
	Digest string
	// Notes say in what the tree differs from what an ordinary install would give.
	Notes []string
}
