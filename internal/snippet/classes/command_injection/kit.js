'use strict'
// Command injection in JavaScript: what a snippet starts really runs. Programs that it names are fakes that record their
// arguments (see fake.sh); the injected command is a program with a name of this run alone, which leaves a mark.
const fs = require('fs')
const path = require('path')
const child = require('child_process')
const { promisify } = require('util')
const { randomBytes } = require('crypto')

const work = path.dirname(__dirname)
const [site, fake, log] = [path.join(work, 'site'), path.join(work, 'fake'), path.join(work, 'commands')]
const secret = 'crisol' + [...randomBytes(10)].map(b => String.fromCharCode(97 + b % 26)).join('')
const mark = path.join(work, secret)
const said = 'said' + randomBytes(6).toString('hex')
const real = new Set('sh bash dash zsh ksh env cmd exec eval node nodejs python python3 perl if then else fi for do done while case esac in echo printf test cd pwd true false exit export set read kill wait'.split(' '))
const direct = promisify(child.exec)

// names and what they mean
const starts = { exec: child.exec, execSync: child.execSync, execFile: child.execFile, execFileSync: child.execFileSync, spawn: child.spawn, spawnSync: child.spawnSync, execAsync: direct, execPromise: direct, execP: direct, execFileAsync: promisify(child.execFile), execFilePromise: promisify(child.execFile), promisify }
const folder = /(dir|directory|root|folder|cwd|basepath|workspace|workdir)$/i

exports.roles = (name, run) => {
  if (Object.hasOwn(starts, name) && new RegExp(`(?<![\\w$.])${name}\\s*\\(`).test(run.source)) return { value: starts[name] }
  if (/^(shell|shelljs)$/.test(name) && /\bshell(js)?\.exec\s*\(/.test(run.source)) return { value: shelljs }
  if (name === 'execa') return { value: execa }
  if (/^[A-Z][A-Z0-9_]+$/.test(name) && /(DIR|FOLDER|ROOT|BASE|HOME|WORKSPACE)/.test(name)) return { value: site }
  if (/^[A-Z][A-Z0-9_]+$/.test(name) && /(BIN|CMD|COMMAND|EXE|TOOL|PATH)/.test(name)) return { value: path.join(fake, name.toLowerCase()) }
  if (new RegExp(`\\bcwd:\\s*${name}\\b`).test(run.source) || (folder.test(name) && new RegExp(`\\bcwd\\b`).test(run.source))) return { value: site }
}

exports.modules = name => {
  if (name === 'shelljs') return { value: shelljs }
  if (name === 'execa') return { value: Object.assign(execa, { default: execa, execa, execaCommand: execa.command, execaSync: execa.sync }) }
  if (name === 'cross-spawn') return { value: Object.assign(child.spawn, { sync: child.spawnSync, spawn: child.spawn }) }
  if (name === 'shell-quote') return { value: { quote } }
  if (name === 'shell-escape') return { value: list => list.map(escapeOne).join(' ') }
}

// shelljs runs text by a shell, synchronously unless it is told otherwise.
const shelljs = {
  exec (command, options = {}, callback) {
    if (typeof options === 'function') [options, callback] = [{}, options]
    if (callback || options.async) return child.exec(command, (err, stdout, stderr) => callback && callback(err ? err.code : 0, stdout, stderr))
    const got = child.spawnSync(command, { shell: true, encoding: 'utf8' })
    return Object.assign(String(got.stdout), { code: got.status, stdout: got.stdout, stderr: got.stderr })
  },
  which: name => path.join(fake, name), echo () {}, exit () {}, cd () {}, config: {}
}

// execa runs a program with its arguments, and a shell only where it is asked for one.
function execa (file, args = [], options = {}) {
  if (!Array.isArray(args)) [args, options] = [[], args]
  return new Promise((resolve, reject) => child.execFile(file, args, options, (err, stdout, stderr) => err ? reject(Object.assign(err, { stdout, stderr })) : resolve({ stdout: stdout.trimEnd(), stderr, exitCode: 0 })))
}
const split = text => text.trim().split(/ +/)
execa.command = (text, options) => options && options.shell ? execa(text, [], options) : execa(split(text)[0], split(text).slice(1), options)
execa.sync = (file, args, options) => { const got = child.spawnSync(file, args, { encoding: 'utf8', ...options }); if (got.error) throw got.error; return got }
execa.shell = text => execa(text, [], { shell: true })

// quote is shell-quote's.
const quote = list => list.map(s => {
  if (s === '') return "''"
  if (/["\s\\]/.test(s) && !/'/.test(s)) return "'" + s.replace(/(['])/g, '\\$1') + "'"
  if (/["'\s]/.test(s)) return '"' + s.replace(/(["\\$`!])/g, '\\$1') + '"'
  return String(s).replace(/([A-Za-z]:)?([#!"$&'()*,:;<=>?@[\\\]^`{|}])/g, '$1\\$2')
}).join(' ')

// escapeOne is shell-escape's.
const escapeOne = s => /[^A-Za-z0-9_/:=-]/.test(s) ? ("'" + s.replace(/'/g, "'\\''") + "'").replace(/^(?:'')+/g, '').replace(/\\'''/g, "\\'") : s

// rewrite moves programs and folders that are named by an absolute path into the sandbox.
const rewrite = source => source
  .replace(/(?<=['"`\s])(?:\/usr)?(?:\/local)?\/s?bin\/([\w.+-]+)/g, (all, name) => real.has(name) ? all : path.join(fake, name))
  .replace(/(\bcwd\s*:\s*)(['"`])[^'"`$]*\2/g, (_, key) => key + JSON.stringify(site))

function put (at, text, mode) {
  fs.mkdirSync(path.dirname(at), { recursive: true })
  fs.writeFileSync(at, text, { mode })
}

// stage lays fakes for every word of the snippets that could be a program, and for scripts that are named by their path.
function stage (pair) {
  fs.mkdirSync(site, { recursive: true })
  const program = path.join(fake, '.fake')
  put(program, fs.readFileSync(path.join(__dirname, 'fake.sh'), 'utf8').replace('@LOG@', log).replace('@SAID@', said), 0o755)
  put(path.join(fake, secret), `#!/bin/sh\nprintf x > '${mark}'\n`, 0o755)
  const link = at => { try { fs.mkdirSync(path.dirname(at), { recursive: true }); fs.symlinkSync(program, at) } catch { /* it is there */ } }
  const words = [pair.target.source, pair.affected.source, ...common].join(' ')
  for (const [word] of words.matchAll(/[A-Za-z_][\w.+-]*/g)) if (!real.has(word)) for (const name of new Set([word, word.toLowerCase()])) link(path.join(fake, name))
  for (const [, at] of words.matchAll(/(?<=['"`\s/])((?:\.\/)?(?:[\w-]+\/)*[\w-]+\.(?:sh|py|pl|rb|bin|js))/g)) link(path.join(site, at))
  if (!process.env.PATH.startsWith(fake)) process.env.PATH = fake + ':' + process.env.PATH
}

// attempt runs a snippet once and says which commands were started, by a shell or without one.
async function attempt (snippet, value, { control, inputs } = {}) {
  process.chdir(site)
  for (const at of [log, mark]) fs.rmSync(at, { force: true })
  const outcome = await snippet.run(value, { control, rewrite, state: { dirname: site, inputs } })
  const text = [...outcome.values, ...Object.values(outcome.declared).reverse()]
  if (!fs.existsSync(log) && !fs.existsSync(mark) && !/exec|spawn|shell/i.test(snippet.source.replace(/(['"`])(?:\\.|(?!\1).)*\1/g, ''))) built(text)
  return { outcome, commands: commands(), marked: fs.existsSync(mark) }
}

// built runs a command that a snippet only puts together, as its caller would.
function built (values) {
  for (const value of values) {
    if (typeof value === 'string' && value.trim()) return child.spawnSync(value, { shell: true })
    const list = Array.isArray(value) ? value.flat() : value && typeof value === 'object' && typeof (value.command || value.file) === 'string' ? [value.command || value.file, ...(value.args || [])] : []
    if (list.length && list.every(v => typeof v === 'string')) return child.spawnSync(list[0], list.slice(1))
  }
}

// commands reads what the fakes recorded: [{name, args}].
function commands () {
  if (!fs.existsSync(log)) return []
  const parts = fs.readFileSync(log, 'utf8').split('\0')
  const list = []
  for (let i = 0; i + 1 < parts.length;) {
    const n = Number(parts[i + 1])
    list.push({ name: parts[i], args: parts.slice(i + 2, i + 2 + n) })
    i += 2 + n
  }
  return list
}

// kinds of input, by the names that the snippet gives them; a number is what any other kind may be too
const kinds = [
  ['number', /^(n|num|number|count|port|pid|id|width|height|size|limit|depth|quality|timeout|seconds|lines?|version|duration)$|(count|port|pid|width|height|size|limit)$/i],
  ['email', /e?mail|recipient/i], ['url', /ur[li]|link|remote|clone|href|repository/i], ['host', /host|^ip|ip$|addr|domain|server|target|dns|machine|node/i],
  ['reference', /branch|tag|commit|rev|ref$|sha|package|^pkg|module|repo/i], ['user', /user|login|owner|group/i],
  ['file', /file|path|image|img|video|photo|document|archive|src|source|input|output|dest|zip|pdf|audio|dir|folder|name/i], ['text', /text|message|msg|comment|title|query|search|pattern|term|keyword|subject|label|note|word|body|content/i]
]
const chooses = /^(format|ext|extension|type|mode|action|lang|cmd|command|op|operation|tool|program|service|script|task|job|util)$/i
const kindOf = names => (kinds.find(([, form]) => names.some(n => form.test(n))) || ['any'])[0]

// what a snippet that chooses may permit: the words of its text
const common = ['date', 'uptime', 'png', 'status']
const words = pair => [...new Set([...pair.target.source.matchAll(/['"`]([A-Za-z][\w.-]{0,30})['"`]|\b([a-z]\w*)\s*:/g)].map(m => m[1] || m[2]))].filter(w => !/^(child_process|util|utf-?8|express|string|error|data|exit|close|path|fs)$/.test(w))

// learn finds the inputs of the affected snippet: each is attacked alone, with a harmless value in the others.
async function learn (pair, usual) {
  const seen = new Set()
  for (const snippet of [pair.affected, pair.target]) for (const name of (await attempt(snippet, usual.any[0], { control: true })).outcome.names) seen.add(name)
  return [...seen]
}

const usual = { host: ['127.0.0.1'], url: ['https://example.com/a'], email: ['user@example.com'], number: ['42'], reference: ['main'], user: ['alice'], file: ['report.txt'], text: ['hello'], any: ['report'] }
const others = (names, but) => Object.fromEntries(names.filter(n => n !== but).map(n => [n, harmless(n)]))
const harmless = name => usual[kindOf([name])][0]

function plant () {
  for (const name of ['report.txt', 'my-report_2.txt', 'my report.txt', 'größe.txt', 'report', 'report-2', 'my report']) put(path.join(site, name), `${said} content of ${name}\n`)
}

exports.attack = async (pair, payloads) => {
  stage(pair)
  plant()
  const names = await learn(pair, usual)
  const choices = names.some(n => chooses.test(n)) ? [...words(pair).slice(0, 6), ...common] : []
  for (const name of names.length > 1 ? names.slice(0, 4) : [undefined]) {
    const inputs = name === undefined ? {} : others(names, name)
    const oks = name !== undefined && !chooses.test(name) ? [harmless(name)] : [...new Set([usual[kindOf(names)][0], ...choices])]
    for (const payload of payloads) {
      for (const ok of payload.includes('{ok}') ? oks : oks.slice(0, 1)) {
        const value = payload.replaceAll('{ok}', ok).replaceAll('{run}', secret).replaceAll('{absolute}', path.join(fake, secret))
        const got = await attempt(pair.target, value, { inputs })
        if (got.marked) return value
      }
    }
  }
  await new Promise(resolve => setTimeout(resolve, 50)) // for what a snippet started and doesn't wait for
  return fs.existsSync(mark) ? payloads[payloads.length - 1] : undefined
}

const listing = () => fs.readdirSync(site).sort().join('\n')

// shown is what a snippet's caller gets to see, as one text.
const shown = outcome => JSON.stringify([outcome.values, outcome.sent, outcome.called], (_, v) => v && v.type === 'Buffer' ? Buffer.from(v.data).toString() : v instanceof Error ? '' : typeof v === 'bigint' ? String(v) : v && typeof v === 'object' && typeof v.pid === 'number' ? '' : v) || ''
const failure = outcome => outcome.error || outcome.called.flatMap(c => c.args.slice(0, 1)).find(v => v instanceof Error)

// heard is what a run did with a value: the commands that received it unchanged, what was shown, and the files there are.
function heard (got, value) {
  return {
    received: got.commands.filter(c => c.args.some(a => a.includes(value)) || c.name === value).map(c => ({ name: c.name, arg: c.args.find(a => a.includes(value)) || '' })),
    said: shown(got.outcome).includes(said), value: shown(got.outcome).includes(JSON.stringify(value).slice(1, -1)), files: listing()
  }
}

exports.benign = async (pair, payload) => {
  stage(pair)
  const run = async (snippet, value, control, inputs) => {
    process.chdir(work)
    fs.rmSync(site, { recursive: true, force: true })
    stage(pair)
    plant()
    const before = listing()
    const got = await attempt(snippet, value, { control, inputs })
    return { ...got, ...heard(got, value), before }
  }
  const names = await learn(pair, usual)
  const listed = names.some(n => chooses.test(n))
  const values = listed ? [...words(pair), ...common] : payload[kindOf(names)]
  // every input gets its turn, harmless values of their own kind in the others
  const turns = names.length > 1 && !listed ? names.flatMap(n => payload[kindOf([n])].map(value => ({ value, inputs: { ...others(names, n), [n]: value } }))) : values.map(value => ({ value, inputs: listed ? others(names.filter(n => !chooses.test(n))) : {} }))
  let [compared, good, why] = [0, 0, 'nothing is run']
  for (const { value, inputs } of turns) {
    const was = await run(pair.affected, value, true, inputs)
    if (failure(was.outcome) || !(was.received.length || was.value || was.marked)) {
      why = (failure(was.outcome) && failure(was.outcome).message) || was.outcome.fault || 'no command receives it'
      continue
    }
    compared++
    const is = await run(pair.target, value, false, inputs)
    const lost = worse(was, is)
    if (!lost) good++
    else if (!listed) throw new Error(`with ${JSON.stringify(value)}: ${lost}`)
    else why = lost
  }
  if (!compared) throw new Error(`the vulnerable snippet runs nothing with any of ${JSON.stringify(values)}: ${why}`)
  if (!good) throw new Error(`none of ${JSON.stringify(values)} does what it did: ${why}`)
}

function worse (was, is) {
  if (!is.outcome.proper) return is.outcome.fault
  if (failure(is.outcome)) return String(failure(is.outcome).message || failure(is.outcome))
  const kept = was.received.every(a => is.received.some(b => a.name === b.name && a.arg === b.arg))
  if (was.said && !is.said) return 'what the command says is no longer passed on'
  if (was.files !== is.files) return 'other files are there than before'
  // a patch may as well do without the program what it did: show the same, change the same files
  const again = is.commands.some(c => was.received.some(a => a.name === c.name))
  const instead = !again && ((was.said && is.said) || (was.value && is.value && !was.received.length) || was.files !== was.before)
  if (!kept && !instead) return `${was.received[0] ? was.received[0].name : 'the command'} no longer receives it`
}
