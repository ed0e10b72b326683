'use strict'
// Evaluates a snippet with the names that it doesn't define given by their role, and calls what it declares.
const fs = require('fs')
const path = require('path')
const { builtinModules, createRequire } = require('module')
const { Writable } = require('stream')
const text = require('./source')

const noFault = new Set(['then', 'toJSON', 'constructor', 'inspect', 'nodeType', 'asymmetricMatch', '$$typeof'])
// what an object that brings input may be asked for by a call
const getters = /^(get\w*|param|params|header|text|json|input|query|read\w*|value|val|trim|toString|valueOf|has|entries)$/
const isClass = fn => typeof fn === 'function' && /^class\b/.test(Function.prototype.toString.call(fn))

// Snippet is a text that can be run as often as a kit needs, each time anew.
class Snippet {
  constructor (file, kit) {
    this.file = file
    this.source = fs.readFileSync(file, 'utf8').replace(/^#!.*\n/, '')
    this.kit = kit
    this.outcomes = []
  }

  // run evaluates the snippet with value as its input. options: control marks a run that proves nothing of reach; state
  // is the kit's own, found as run.state by its roles; rewrite(source) changes the text first.
  async run (value, options = {}) {
    const outcome = { value: undefined, values: [], sent: [], called: [], errors: [], declared: {}, made: [], proper: true, used: false, names: new Set(), fault: '', control: !!options.control }
    this.outcomes.push(outcome)
    const source = options.rewrite ? options.rewrite(this.source) : this.source
    const run = new Run(source, value, outcome, this.kit, options.state || {})
    await run.play()
    outcome.error = outcome.errors[0]
    return outcome
  }
}

// Run is one evaluation.
class Run {
  constructor (source, input, outcome, kit, state) {
    Object.assign(this, { source: text.commonjs(source), input, outcome, kit, state })
    this.known = new Map()
    this.routes = []
    this.module = { exports: {} }
  }

  async play () {
    const strays = err => this.failed(err)
    process.on('unhandledRejection', strays)
    process.on('uncaughtException', strays)
    try {
      const compiled = this.compile()
      if (!compiled) return
      await this.settle(() => compiled.call(undefined))
      for (const value of Object.values(this.declaredValues())) if (value && typeof value.then === 'function') await this.settle(() => value, false)
      await this.enter()
      await idle()
    } finally {
      process.off('unhandledRejection', strays)
      process.off('uncaughtException', strays)
      this.outcome.value = this.outcome.values[this.outcome.values.length - 1]
    }
  }

  failed (err) {
    if (err && typeof err === 'object' && err.crisolFault) this.fault(err.message)
    else if (isFault(err)) this.fault(`${err.name}: ${err.message}`)
    this.outcome.errors.push(err)
  }

  fault (message) {
    this.outcome.proper = false
    this.outcome.fault = this.outcome.fault || message
  }

  // missing is what a name is answered with that has to be defined and isn't.
  missing (message) {
    this.fault(message)
    const err = new ReferenceError(message)
    err.crisolFault = true
    throw err
  }

  async settle (call, keep = true) {
    try {
      const value = await Promise.race([Promise.resolve(call()), idle().then(() => undefined)])
      await idle()
      if (keep && value !== undefined) this.outcome.values.push(value)
      return value
    } catch (err) {
      this.failed(err)
    }
  }

  // compile tries the text as one expression, as statements and as the members of an object or a class.
  compile () {
    const names = text.declared(this.source)
    const declare = `__declare({${names.map(n => `get ${n}() { return ${n} }`).join(', ')}});`
    const trimmed = this.source.trim().replace(/;+\s*$/, '')
    const forms = [`return (\n${trimmed}\n)`, `${declare}\n${this.source}\n`, `return ({\n${trimmed}\n})`, `return (class {\n${trimmed}\n})`]
    let first
    this.names = {}
    for (const [i, body] of forms.entries()) {
      try {
        // eslint-disable-next-line no-new-func
        const made = new Function('__scope', '__declare', `with (__scope) { return async function () {\n${body}\n} }`)
        return made(this.scope(), given => { this.names = given }).bind(this.self())
      } catch (err) {
        if (i === 1) first = err
      }
    }
    this.failed(first)
    this.fault(`${first.name}: ${first.message}`)
  }

  declaredValues () {
    const values = {}
    for (const name of Object.keys(this.names)) {
      try { values[name] = this.names[name] } catch { /* never initialised: the snippet returned before */ }
    }
    return values
  }

  // enter calls what the snippet offers: its routes, else its exports, else what it declares and doesn't use itself.
  async enter () {
    const declared = this.declaredValues()
    this.outcome.declared = declared
    if (this.routes.length) {
      for (const handler of this.routes) await this.call(handler)
      return
    }
    const exported = this.module.exports
    if (typeof exported === 'function' || (exported && typeof exported === 'object' && Object.keys(exported).length)) return this.offer(exported)
    const last = this.outcome.values[this.outcome.values.length - 1]
    if (typeof last === 'function' || hasFunctions(last)) {
      this.outcome.values.pop()
      return this.offer(last)
    }
    const functions = Object.entries(declared).filter(([, value]) => typeof value === 'function')
    const entries = functions.filter(([name]) => text.mentions(this.source, name) === 1)
    for (const [, value] of entries.length ? entries : functions) if (!this.role(value)) await this.offer(value)
  }

  role (value) { return [...this.known.values()].includes(value) }

  async offer (value) {
    if (isClass(value)) return this.instance(value)
    if (typeof value === 'function') return this.call(value)
    for (const member of Object.values(value)) if (typeof member === 'function') await this.offer(member)
  }

  async instance (Class) {
    let made
    try { made = new Class(...this.args(Class)) } catch (err) { return this.failed(err) }
    this.outcome.made.push(made)
    const self = this.self(made)
    for (const on of [Class.prototype, Class]) {
      for (const name of Object.getOwnPropertyNames(on)) {
        const method = Object.getOwnPropertyDescriptor(on, name).value
        if (name === 'constructor' || typeof method !== 'function' || new RegExp(`(this|${Class.name})\\.#?${name}\\s*\\(`).test(this.source)) continue
        await this.call(method, on === Class ? Class : self)
      }
    }
  }

  async call (fn, self = this.self()) {
    await this.settle(() => fn.apply(self, this.args(fn)))
  }

  args (fn) {
    const params = text.params(fn)
    const own = this.kit.args && this.kit.args(params, this, fn)
    if (own) return own
    return params.map(p => {
      if (p.pattern) return this.tainted('')
      const role = this.given(p.name)
      if (role) return role.value
      return p.optional ? undefined : this.taint(p.name)
    })
  }

  // given finds what a name stands for, if that isn't the input.
  given (name) {
    if (!this.known.has(name)) {
      const role = (this.kit.roles && this.kit.roles(name, this)) || this.usual(name)
      if (!role) return undefined
      this.known.set(name, role.value)
    }
    return { value: this.known.get(name) }
  }

  // usual are the names that mean the same in every class.
  usual (name) {
    if (/^(req|request)$/i.test(name)) return { value: this.request() }
    if (/^(ctx|context|c)$/.test(name) && text.members(this.source, name).length) return { value: this.context() }
    if (/^(res|response|resp|reply)$/i.test(name)) return { value: this.response() }
    if (/^(next|cb|callback|done|resolve|reject|fn)$/i.test(name)) return { value: (...args) => { this.outcome.called.push({ name, args }) } }
    if (/^(app|router|server|api|fastify|express)$/i.test(name)) return { value: name === 'express' ? this.express() : this.router() }
    if (/^(logger|log|winston|debug)$/i.test(name)) return { value: silent() }
    const alias = { fsp: 'fs/promises', fsPromises: 'fs/promises', childProcess: 'child_process', cp: 'child_process' }[name] || name
    if (name === 'process' || name === 'console' || !builtinModules.includes(alias)) return undefined
    // path and url are also what an input is called: a module is asked for something that a text doesn't have
    const asked = text.members(this.source, name).some(m => m.name in require(alias) && (!text.stringMembers.has(m.name) || new RegExp(`\\b${name}\\.${m.name}\\(\\s*[^)\\s'"]`).test(this.source))) || (name in require(alias) && text.called(this.source, name))
    return asked ? { value: this.require(alias) } : undefined
  }

  // taint is the input as a name is used: a text, or something of which texts are read.
  taint (name) {
    this.take(name)
    return text.asObject(this.source, name) ? this.tainted(name) : this.value(name)
  }

  // tainted is an object whose every member is the input.
  tainted (name, fixed = {}) {
    const of = name ? text.members(this.source, name) : []
    const run = this
    return new Proxy(fixed, {
      get (target, key) {
        if (typeof key !== 'string' || key in target || noFault.has(key)) return Reflect.get(target, key)
        const call = of.some(m => m.name === key && m.call)
        if (call && !text.stringMembers.has(key)) {
          if (!getters.test(key)) run.missing(`${name}.${key} is called, and the snippet doesn't say what ${name} is`)
          return () => run.read(key)
        }
        return run.read(key)
      },
      has: () => true
    })
  }

  take (name) {
    this.outcome.used = true
    this.outcome.names.add(name)
  }

  read (key) {
    this.take(key)
    return text.deeper(this.source, key) ? this.tainted(key) : this.value(key)
  }

  // value is what an input of that name holds: state.inputs names those that differ from the others.
  value (name) {
    const { inputs } = this.state
    return inputs && Object.hasOwn(inputs, name) ? inputs[name] : this.input
  }

  // request answers every question with the input. A URL holds it as path, or as the parameters that the snippet names.
  request () {
    const run = this
    const names = [...this.source.matchAll(/(?:query|params)\.([\w$]+)|(?:query|params|searchParams)\s*(?:\.get\(|\[)\s*['"]([^'"]+)['"]/g)].map(m => m[1] || m[2]).filter(n => n !== 'get')
    const parsed = /url\.parse|URLSearchParams|new URL\(/.test(this.source) && names.length
    const url = () => {
      run.take(parsed ? names[0] : 'url')
      return parsed ? '/?' + names.map(n => `${n}=${encodeURIComponent(run.input)}`).join('&') : '/' + String(run.input).replace(/^\//, '')
    }
    const bag = () => run.tainted('', {})
    const request = {
      method: /\bmethod\s*===?\s*['"]POST/.test(this.source) ? 'POST' : 'GET', query: bag(), params: bag(), body: bag(), cookies: bag(), session: bag(),
      headers: run.tainted('', { host: 'localhost' }), protocol: 'http', hostname: 'localhost', ip: '127.0.0.1', secure: false, app: this.router(),
      get: () => run.read('get'), header: () => run.read('header'), param: () => run.read('param'),
      on (event, listener) { if (event === 'data') { run.outcome.used = true; setImmediate(() => listener(Buffer.from(String(run.input)))) } else if (event === 'end') setImmediate(() => setImmediate(listener)); return this },
      is: () => true, accepts: () => 'html', setEncoding () {}
    }
    if (text.members(this.source, 'body').length === 0 && /\.body\b(?!\s*[.[?])|\bbody\b(?!\s*[.[}?,])/.test(this.source) && !/\}\s*=\s*[\w.]*body/.test(this.source)) delete request.body
    Object.defineProperty(request, 'url', { get: url })
    Object.defineProperty(request, 'originalUrl', { get: url })
    Object.defineProperty(request, 'path', { get: url })
    request.request = request.req = request
    return this.tainted('', request)
  }

  // context is koa's: request and response in one.
  context () {
    const run = this
    const res = this.response()
    const own = this.request()
    const context = {
      request: own, req: own, response: res, res, state: {}, app: this.router(), status: 200,
      throw (status, message) { throw Object.assign(new Error(message || `status ${status}`), { status }) },
      assert (ok, status, message) { if (!ok) this.throw(status, message) },
      redirect: to => { run.outcome.sent.push({ how: 'redirect', args: [to] }) },
      set: (...args) => { res.set(...args) }, attachment () {}, type: ''
    }
    for (const name of ['json', 'send', 'html', 'text', 'render']) context[name] = (...args) => { run.outcome.sent.push({ how: name, args }); return res }
    return new Proxy(context, {
      get: (of, key) => key in of ? of[key] : own[key],
      set (of, key, value) {
        if (key === 'body') run.outcome.sent.push({ how: 'body', args: [value] })
        of[key] = value
        return true
      }
    })
  }

  // response records what is sent. A kit's response(run) adds methods, such as sendFile.
  response () {
    const run = this
    const parts = []
    const stream = new Writable({
      write (part, _, done) { parts.push(Buffer.from(part)); done() },
      final (done) { if (parts.length) run.outcome.sent.push({ how: 'stream', args: [Buffer.concat(parts).toString('utf8')] }); done() }
    })
    stream.on('error', err => run.failed(err))
    const send = how => (...args) => { run.outcome.sent.push({ how, args }); return proxy }
    const own = {
      statusCode: 200, headersSent: false, locals: {}, send: send('send'), json: send('json'), jsonp: send('json'), render: send('render'), redirect: send('redirect'),
      sendStatus: send('sendStatus'), sendFile: send('sendFile'), download: send('download'), sendfile: send('sendFile'),
      status (code) { this.statusCode = code; return proxy },
      write (part) { stream.write(part); return true },
      end (part) { if (part !== undefined) stream.write(part); if (!stream.writableEnded) stream.end(); return proxy },
      ...(run.kit.response ? run.kit.response(run) : {})
    }
    const proxy = new Proxy(stream, {
      get (_, key) {
        if (key in own) return own[key]
        if (key in stream) { const value = stream[key]; return typeof value === 'function' ? value.bind(stream) : value }
        return typeof key !== 'string' || noFault.has(key) ? undefined : () => proxy
      },
      set (_, key, value) {
        own[key] = value
        return true
      }
    })
    return proxy
  }

  router () {
    const run = this
    const register = (...args) => {
      for (const handler of args.flat()) if (typeof handler === 'function' && handler !== run.none) run.routes.push(handler)
      return proxy
    }
    const proxy = new Proxy(function () {}, {
      get: (_, key) => {
        if (typeof key !== 'string' || noFault.has(key)) return undefined
        if (/^(get|post|put|patch|delete|all|head|options)$/.test(key)) return register
        if (key === 'route') return () => proxy
        return () => proxy // use, listen, set, engine, ...
      },
      apply: () => proxy,
      set: () => true
    })
    return proxy
  }

  express () {
    const make = () => this.router()
    this.none = () => {}
    return Object.assign(make, { Router: make, json: () => this.none, urlencoded: () => this.none, static: () => this.none, raw: () => this.none, text: () => this.none })
  }

  // server is http whose createServer gives its listener to the trial instead of a port.
  server (name) {
    const listens = { listen () { return listens }, on () { return listens }, close () {}, address: () => ({ port: 80 }) }
    return { ...require(name), createServer: (...args) => { this.routes.push(...args.filter(a => typeof a === 'function')); return listens } }
  }

  // require is the real one for what the sandbox has; a kit knows more modules, by the name of the role that they play.
  require (name) {
    const bare = name.replace(/^node:/, '')
    const own = this.kit.modules && this.kit.modules(bare, this)
    if (own) return own.value
    if (bare === 'express') return this.express()
    if (/^https?$/.test(bare)) return this.server(bare)
    if (/^(body-parser|cors|helmet|morgan|dotenv|cookie-parser|express-session|multer)$/.test(bare)) return silent()
    if (builtinModules.includes(bare)) return require(bare)
    try { return createRequire(path.join('/work/app/', 'x.js'))(name) } catch { return this.missing(`the module ${name} is not there: the snippet has to do without it`) }
  }

  // self is what this means in a function that is taken out of its class.
  self (of = {}) {
    const run = this
    return new Proxy(of, {
      get (target, key) {
        if (typeof key !== 'string' || key in target || noFault.has(key)) { const v = Reflect.get(target, key); return typeof v === 'function' && !isClass(v) && !Object.keys(v).length ? v.bind(run.self(target)) : v }
        const role = run.given(key)
        if (role) return role.value
        if (/^[A-Z][A-Z0-9_]*$/.test(key) || new RegExp(`this\\.${key.replace(/\$/g, '\\$')}\\s*\\(`).test(run.source)) run.missing(`this.${key} is not defined in the snippet`)
        return run.taint(key)
      },
      set (target, key, value) { target[key] = value; return true }
    })
  }

  // scope answers for every name that the snippet doesn't declare.
  scope () {
    const run = this
    const set = new Map()
    const own = {
      require: name => run.require(name), module: run.module, exports: run.module.exports, __dirname: run.state.dirname || '/work/app',
      __filename: path.join(run.state.dirname || '/work/app', 'snippet.js'), undefined, window: undefined, document: undefined
    }
    own.require.main = {}
    return new Proxy({}, {
      has: (_, name) => typeof name === 'string' && !name.startsWith('__declare'),
      get (_, name) {
        if (typeof name !== 'string') return undefined
        if (set.has(name)) return set.get(name)
        if (Object.hasOwn(own, name) && own[name] !== undefined) return own[name]
        const role = run.given(name)
        if (role) return role.value
        if (name in globalThis) return globalThis[name]
        if (name in own) return undefined
        if (/^[A-Z][A-Z0-9_]+$/.test(name) || /^[A-Z]/.test(name)) run.missing(`${name} is not defined in the snippet`)
        if (text.called(run.source, name)) run.missing(`${name} is called and not defined in the snippet`)
        return run.taint(name)
      },
      set (_, name, value) { set.set(name, value); if (name in run.names === false) Object.defineProperty(run.names, name, { get: () => set.get(name), enumerable: true, configurable: true }); return true }
    })
  }
}

function hasFunctions (value) {
  return value && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype && Object.values(value).some(v => typeof v === 'function')
}

function silent () {
  const proxy = new Proxy(function () {}, { get: (_, key) => typeof key !== 'string' || noFault.has(key) ? undefined : proxy, apply: () => proxy })
  return proxy
}

// isFault tells a mistake in the snippet from an error that it may well mean.
function isFault (err) {
  if (!err || typeof err !== 'object') return false
  if (err.name === 'ReferenceError' || err.code === 'MODULE_NOT_FOUND') return true
  return err.name === 'TypeError' && /is not a function|is not a constructor|is not iterable|[Cc]annot (read|set) propert|Assignment to constant|before initialization/.test(err.message)
}

// idle resolves once nothing is under way in this process, or after a while when something goes on for ever.
function idle () {
  return new Promise(resolve => {
    const timer = setTimeout(done, 1500)
    timer.unref()
    function done () { clearTimeout(timer); process.off('beforeExit', done); resolve() }
    process.once('beforeExit', done)
    setImmediate(() => {}) // beforeExit is told only when there was something to do
  })
}

module.exports = { Snippet }
