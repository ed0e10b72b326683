'use strict'
// Path traversal in JavaScript: paths are resolved in a real tree. Absolute paths in the snippet's literals are moved
// below /work/tree, relative ones start in the site's folder there; the secret lies at /work/vault, and others in
// folders beside each base whose names begin with the base's.
const fs = require('fs')
const path = require('path')
const { randomBytes } = require('crypto')
const { fileURLToPath } = require('url')

const work = path.dirname(__dirname)
const tree = path.join(work, 'tree')
const site = path.join(tree, 'srv/app')
const base = path.join(tree, 'srv/files')
const secret = 'secret-' + randomBytes(8).toString('hex')
const probe = 'crisolprobe'
const literal = /(['"`])(\/(?:var|srv|home|opt|app|data|mnt|usr|www|uploads?|files?|public|static|storage|media|images?|docs?|documents|content|assets|private|web|site|export|reports?|templates?|downloads?|avatars?|tmp|safe|base|root)(?=[/'"`])[\w./@-]*)/g

const rewrite = source => source.replace(literal, (_, quote, at) => quote + tree + at)
const folder = /(dir|directory|root|folder|base|basepath|rootpath)$/i
const isBase = name => (folder.test(name) && !/^(user|sub|req|requested|target|input|param|tainted|file|new)/i.test(name)) ||
  /^(base|root|uploads?|public|static|storage|media|safe|allowed|data|templates?|downloads?|content|assets?|docs?|files|images?)_?(path|location)$/i.test(name) ||
  (/^[A-Z][A-Z0-9_]+$/.test(name) && /(BASE|ROOT|UPLOAD|PUBLIC|STATIC|STORAGE|MEDIA|SAFE|FILES|DOCS|DIR|FOLDER|PATH)/.test(name))

const reads = /^(readFile|createReadStream|open|copyFile|cp|readv|sendFile)/
const writes = /^(writeFile|appendFile|createWriteStream|unlink|rm|rename|truncate|mkdir)/
const looks = /^(exists|stat|lstat|access|realpath|readdir|opendir)/

const text = p => Buffer.isBuffer(p) ? p.toString() : p instanceof URL ? fileURLToPath(p) : p

// watched is fs, telling state which paths it is asked for.
function watched (real, state) {
  return new Proxy(real, {
    get (of, key) {
      const member = of[key]
      if (key === 'promises') return watched(member, state)
      if (typeof member !== 'function' || typeof key !== 'string') return member
      const kind = reads.test(key) ? 'read' : writes.test(key) ? 'write' : looks.test(key) ? 'look' : ''
      if (!kind) return member
      const call = function (...args) {
        for (const arg of /^(rename|copyFile|cp)/.test(key) ? args.slice(0, 2) : args.slice(0, 1)) note(state, kind, arg)
        return member.apply(of, args)
      }
      return Object.assign(call, member.native ? { native: call } : {})
    }
  })
}

function note (state, kind, p) {
  try {
    const name = text(p)
    if (typeof name === 'string') state.paths.push({ kind, path: path.resolve(site, name) })
  } catch { /* no path at all */ }
}

exports.modules = (name, run) => {
  if (/^(fs|fs-extra|graceful-fs)$/.test(name)) return { value: watched(fs, run.state) }
  if (name === 'fs/promises') return { value: watched(fs.promises, run.state) }
  if (name === 'send') return { value: (_, at, options = {}) => ({ pipe: res => res.sendFile(at, options) }) }
  if (name === 'sanitize-filename') return { value: s => String(s).replace(/[/?<>\\:*|"\x00-\x1f\x80-\x9f]/g, '').replace(/^\.+$/, '') }
}

exports.roles = (name, run) => {
  if (isBase(name) && !new RegExp(`\\b${name}\\s*\\(`).test(run.source)) return { value: base }
  if (/^(config|settings|opts|options|conf)$/.test(name)) return { value: new Proxy({}, { get: (_, key) => typeof key !== 'string' ? undefined : isBase(key) ? base : /^(extensions?|encoding|root)$/.test(key) ? undefined : run.missing(`${name}.${key} is not set in the snippet`) }) }
}

exports.response = run => {
  const send = how => function (at, options, callback) {
    if (typeof options === 'function') [options, callback] = [undefined, options]
    if (how === 'download' && typeof options === 'string') options = undefined
    const done = err => { if (typeof callback === 'function') callback(err); else if (err) run.outcome.sent.push({ how: 'error', args: [err.status || 500] }) }
    try {
      const file = express(at, options, how)
      note(run.state, 'read', file)
      run.outcome.sent.push({ how, args: [fs.readFileSync(file, 'utf8')] })
      done()
    } catch (err) { if (err instanceof TypeError) throw err; done(err) }
  }
  return { sendFile: send('sendFile'), sendfile: send('sendFile'), download: send('download') }
}

// express resolves a file as express 4 and the module send do: below a root, a path that climbs is refused.
function express (at, options, how) {
  const root = options && options.root
  if (typeof at !== 'string') throw new TypeError('path must be a string to res.sendFile')
  if (at.includes('\0')) throw Object.assign(new Error('Bad Request'), { status: 400 })
  if (!root) {
    if (how === 'download') return path.resolve(at)
    if (!path.isAbsolute(at)) throw new TypeError('path must be absolute or specify root to res.sendFile')
    return path.normalize(at)
  }
  const rest = path.normalize('.' + path.sep + at)
  if (/(?:^|[\\/])\.\.(?:[\\/]|$)/.test(rest)) throw Object.assign(new Error('Forbidden'), { status: 403 })
  return path.join(path.resolve(root), rest)
}

// attempt runs a snippet once in the tree.
async function attempt (snippet, value, control) {
  process.chdir(site)
  const state = { paths: [], dirname: site }
  for (const [, name] of snippet.source.matchAll(/process\.env\.(\w+)/g)) if (isBase(name)) process.env[name] = base
  const outcome = await snippet.run(value, { control, state, rewrite })
  const results = [...outcome.values, ...outcome.called.flatMap(c => c.args)]
  const silent = !state.paths.length && !outcome.sent.length && !outcome.errors.length && !results.length
  if (silent && !/\bfs\b|readFile|createReadStream|\bres\b|response|reply/.test(snippet.source)) results.push(...Object.values(outcome.declared))
  const named = results.filter(v => typeof v === 'string' && v && !v.includes('\0') && !v.includes('\n'))
    .map(v => path.resolve(site, v.replace(/^file:\/\//, '')))
  return { outcome, state, results, named }
}

const real = p => { try { return fs.realpathSync(p) } catch { return p } }

// bases finds where the snippet looks for files, and what it puts behind their names.
async function bases (...snippets) {
  const found = []
  for (const snippet of snippets) {
    let seen
    try { seen = await attempt(snippet, probe, true) } catch { continue }
    for (const at of [...seen.state.paths.map(p => p.path), ...seen.named]) {
      const i = at.indexOf(probe)
      if (i > 0 && at.startsWith(tree)) found.push({ root: path.dirname(at.slice(0, i) + 'x'), suffix: at.slice(i + probe.length).replace(/\/.*/, '') })
    }
  }
  return found
}

// plant makes the tree: benign files in every base, secrets outside.
async function plant (pair) {
  for (const dir of [site, base, path.join(work, 'vault')]) fs.mkdirSync(dir, { recursive: true })
  const found = await bases(pair.affected, pair.target)
  if (!found.length) found.push({ root: base, suffix: '' })
  const listed = (pair.target.source + pair.affected.source).match(/['"`]\.(png|jpe?g|gif|pdf|txt|csv|md|json|html|svg|docx?)['"`]/)
  const kind = listed ? listed[1] : 'txt'
  const put = (at, body) => { fs.mkdirSync(path.dirname(at), { recursive: true }); fs.writeFileSync(at, body) }
  const world = { found, kind, secrets: new Set() }
  for (const { root, suffix } of found) {
    for (const name of ['report.txt', 'sub/inner.txt', 'my file.txt', 'notes..txt']) put(path.join(root, called(name, world)) + suffix, 'content of ' + called(name, world))
    for (const flag of [root + '-evil/flag.txt', path.join(work, 'vault/flag.txt')]) {
      const at = called(flag, world) + suffix
      put(at, secret)
      world.secrets.add(fs.realpathSync(at))
    }
  }
  return world
}

// called gives a name the extension that the snippet permits.
const called = (name, world) => name.replace(/txt$/, world.kind)

exports.attack = async (pair, payloads) => {
  const world = await plant(pair)
  for (const payload of payloads) {
    for (const { root } of world.found) {
      const value = payload.replace('{base}', path.basename(root)).replace('{root}', root).replace(/flag\.txt/, called('flag.txt', world))
      for (const at of world.secrets) fs.writeFileSync(at, secret)
      if (leaks(await attempt(pair.target, value), world)) return value
    }
  }
}

// leaks says whether a run got at a secret: read it, sent it, overwrote it, or gave a path to it.
function leaks ({ outcome, state, results, named }, world) {
  if (state.paths.some(p => p.kind !== 'look' && world.secrets.has(real(p.path)))) return true
  if (named.some(p => world.secrets.has(real(p)))) return true
  const shown = JSON.stringify([results, outcome.sent], (_, v) => v && v.type === 'Buffer' ? Buffer.from(v.data).toString() : v instanceof Error ? '' : typeof v === 'bigint' ? String(v) : v)
  if (shown && shown.includes(secret)) return true
  return [...world.secrets].some(at => { try { return fs.readFileSync(at, 'utf8') !== secret } catch { return true } })
}

// served is what a run gave for a harmless name: the files below a base that it touched, and what it showed of them.
function served (got, world, name) {
  const below = p => world.found.some(({ root }) => p.startsWith(root + path.sep))
  const body = 'content of ' + called(name, world)
  const shown = JSON.stringify([got.results, got.outcome.sent], (_, v) => v && v.type === 'Buffer' ? Buffer.from(v.data).toString() : v instanceof Error ? '' : typeof v === 'bigint' ? String(v) : v) || ''
  return {
    shown: shown.includes(body),
    read: got.state.paths.some(p => p.kind === 'read' && below(p.path) && fs.existsSync(p.path) && fs.readFileSync(p.path, 'utf8') === body),
    wrote: got.state.paths.some(p => p.kind === 'write' && below(p.path)),
    named: got.named.some(p => below(p) && fs.existsSync(p) && fs.readFileSync(p, 'utf8') === body)
  }
}

exports.benign = async (pair, payload) => {
  let compared = false
  let why
  for (const name of payload.values) {
    const world = await plant(pair)
    const value = called(name, world)
    const before = await attempt(pair.affected, value, true)
    const was = served(before, world, name)
    // a subdirectory is asked for only where the input is said to be a path: else a patch may well take the base name
    if (name.includes('/') && ![...before.outcome.names].some(n => /path|dir|folder|url|uri|location|^0$|\*/i.test(n))) continue
    if (before.outcome.error || !Object.values(was).some(Boolean)) {
      why = (before.outcome.error && before.outcome.error.message) || before.outcome.fault || 'nothing is read, sent or returned'
      continue
    }
    compared = true
    await plant(pair)
    const after = await attempt(pair.target, value)
    const is = served(after, world, name)
    if (!after.outcome.proper) throw new Error(after.outcome.fault)
    if (after.outcome.error) throw after.outcome.error
    const lost = Object.keys(was).filter(k => was[k] && !is[k])
    if (was.shown ? !is.shown : lost.length && !Object.values(is).some(Boolean)) throw new Error(`${value} is no longer ${was.shown ? 'shown' : lost.join(', ')}`)
  }
  if (!compared) throw new Error(`the vulnerable snippet serves none of ${payload.values.join(', ')}: ${why}`)
}
