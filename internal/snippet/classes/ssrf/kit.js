'use strict'
// Requests that the server is made to send, in JavaScript. Two real listeners play the world: one on 127.0.0.1 is the
// inside, one on 127.77.0.1 all of the outside. Names are resolved in this process, and a connection goes to the listener
// to which its address belongs, whatever its port. Nothing else is changed: sockets, http, https and fetch are Node's own.
const dns = require('dns')
const fs = require('fs')
const http = require('http')
const https = require('https')
const net = require('net')
const path = require('path')
const { Readable } = require('stream')
const tls = require('tls')
const { promisify } = require('util')

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
process.emitWarning = () => {}

const inside = '127.0.0.1'
const outside = '127.77.0.1'
const pem = fs.readFileSync(path.join(__dirname, 'listener.pem'))
const hits = []
const ports = {}
const secret = 'what only the inside knows'
const content = at => 'content of ' + at

function answer (where) {
  return (req, res) => {
    hits.push({ where, host: String(req.headers.host || '').replace(/:\d+$/, ''), url: req.url, method: req.method })
    const headers = { connection: 'close', 'content-type': 'text/plain' }
    const redirect = where === outside && /^\/redirect\/(\d+)/.exec(req.url)
    if (redirect) {
      res.writeHead(Number(redirect[1]), { ...headers, location: 'http://127.0.0.1:8099/inside' })
      return res.end()
    }
    res.writeHead(200, headers)
    res.end(where === inside ? secret : content(req.url))
  }
}

function listen (server, port, host) {
  return new Promise((resolve, reject) => {
    server.on('connection', socket => { socket.unref(); socket.on('error', () => {}) })
    server.on('tlsClientError', () => {})
    server.on('error', reject)
    server.listen(port, host, () => { server.unref(); resolve(server.address().port) })
  })
}

// world starts the listeners: each address on the same two ports, for plain and for encrypted connections.
let started
function world () {
  started = started || (async () => {
    ports.plain = await listen(http.createServer(answer(inside)), 0, inside)
    ports.tls = await listen(https.createServer({ key: pem, cert: pem }, answer(inside)), 0, inside)
    await listen(http.createServer(answer(outside)), ports.plain, outside)
    await listen(https.createServer({ key: pem, cert: pem }, answer(outside)), ports.tls, outside)
  })()
  return started
}

const ranges = new net.BlockList()
for (const [at, bits] of [['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.168.0.0', 16]]) {
  ranges.addSubnet(at, bits)
  ranges.addSubnet('::ffff:' + at, 96 + bits, 'ipv6')
}
for (const [at, bits] of [['::', 127], ['fc00::', 7], ['fe80::', 10]]) ranges.addSubnet(at, bits, 'ipv6')
const side = address => ranges.check(address, net.isIPv6(address) ? 'ipv6' : 'ipv4') ? inside : outside

// number reads the forms of an IPv4 address that inet_aton knows.
function number (name) {
  const parts = name.split('.')
  if (parts.length > 4 || !parts.every(p => /^(0x[0-9a-f]*|\d+)$/i.test(p))) return undefined
  const values = parts.map(p => /^0x/i.test(p) ? parseInt(p.slice(2) || '0', 16) : /^0\d/.test(p) ? parseInt(p, 8) : Number(p))
  const last = values.pop()
  if (values.some(v => v > 255) || Number.isNaN(last) || last >= 256 ** (4 - values.length)) return undefined
  const whole = values.reduce((sum, v, i) => sum + v * 256 ** (3 - i), last)
  return [24, 16, 8, 0].map(shift => Math.floor(whole / 2 ** shift) % 256).join('.')
}

// resolve is the world's register of names.
function resolve (host) {
  const name = String(host).toLowerCase().replace(/\.$/, '').replace(/^\[|\]$/g, '')
  if (net.isIP(name)) return name
  const numeric = number(name)
  if (numeric) return numeric
  if (/(^|\.)localhost$/.test(name)) return '127.0.0.1'
  if (name === 'private.inside.example') return '10.0.0.7'
  if (/(^|\.)inside\.example$/.test(name) || /^inside-/.test(name)) return '127.0.0.1'
  if (name === 'metadata.google.internal') return '169.254.169.254'
  if (!name.includes('.') || /\.(internal|local|lan|corp)$/.test(name)) return '10.0.0.7'
  return /[^\w.-]/.test(name) ? undefined : '93.184.216.34'
}

function found (host, options) {
  const address = resolve(host)
  if (!address) throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND', hostname: host })
  const one = { address, family: net.isIP(address) }
  return options && options.all ? [one] : one
}

const lookupPromise = async (host, options) => found(host, options)
function lookup (host, options, callback) {
  if (typeof options === 'function') [callback, options] = [options, {}]
  lookupPromise(host, options).then(got => Array.isArray(got) ? callback(null, got) : callback(null, got.address, got.family), callback)
  return {}
}
lookup[promisify.custom] = lookupPromise
const addresses = async host => [found(host).address]
const listed = (host, ...rest) => { addresses(host).then(list => rest.pop()(null, list), rest.pop()) }
listed[promisify.custom] = addresses
const none = async host => { throw Object.assign(new Error(`queryAaaa ENODATA ${host}`), { code: 'ENODATA' }) }
Object.assign(dns, { lookup, resolve: listed, resolve4: listed, resolve6: (host, ...rest) => { none(host).catch(rest.pop()) } })
Object.assign(dns.promises, { lookup: lookupPromise, resolve: addresses, resolve4: addresses, resolve6: none })

// A socket connects to the listener of its address's side; a lookup that the snippet gives is asked as it would be.
const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...args) {
  const normal = Array.isArray(args[0]) ? args[0] : net._normalizeArgs(args)
  const [options, callback] = normal
  if (!started || options.path) return connect.apply(this, args)
  const host = options.host || 'localhost'
  const ask = options.lookup || dns.lookup
  const to = { ...options, port: this instanceof tls.TLSSocket ? ports.tls : ports.plain, autoSelectFamily: false, family: 4, host: 'x.example', localAddress: undefined }
  if (net.isIP(host)) to.host = side(host)
  else {
    to.lookup = (_, asked, done) => ask(host, { ...asked, family: options.family || 0 }, (err, address) => {
      if (err) return done(err)
      done(null, side(Array.isArray(address) ? address[0].address : address), 4)
    })
  }
  const given = [to, callback]
  Object.assign(given, Object.fromEntries(Object.getOwnPropertySymbols(normal).map(s => [s, normal[s]])))
  return connect.call(this, given)
}

// ask sends a request by http or https and follows redirects as often as it may.
async function ask (target, { method = 'GET', headers = {}, body, most = 5, agent, lookup, onRedirect } = {}) {
  let url = new URL(target)
  for (let left = most; ; left--) {
    if (!/^https?:$/.test(url.protocol)) throw new TypeError(`Unsupported protocol ${url.protocol}`)
    const got = await new Promise((resolve, reject) => {
      const by = typeof agent === 'function' ? agent(url) : agent && agent.https ? agent[url.protocol.slice(0, -1)] : agent
      const req = (url.protocol === 'https:' ? https : http).request(url, { method, headers, agent: by, lookup }, res => {
        const parts = []
        res.on('data', part => parts.push(part))
        res.on('error', reject)
        res.on('end', () => resolve({ status: res.statusCode, statusText: res.statusMessage, headers: res.headers, body: Buffer.concat(parts), url: url.href }))
      })
      req.on('error', reject)
      req.end(body)
    })
    const location = got.status >= 300 && got.status < 400 && got.headers.location
    if (!location || most === 0) return got
    if (left === 0) throw Object.assign(new Error('Maximum number of redirects exceeded'), { code: 'ERR_FR_TOO_MANY_REDIRECTS' })
    url = new URL(location, url)
    if (onRedirect) onRedirect({ href: url.href, protocol: url.protocol, hostname: url.hostname, host: url.host, port: url.port, path: url.pathname + url.search, headers }, got)
  }
}

const parsed = body => { try { return JSON.parse(body) } catch { return String(body) } }

// axios as it is used to fetch: redirects are followed, and what isn't 2xx rejects.
function axios (defaults = {}) {
  const call = async (first, second) => {
    const config = { ...defaults, ...(typeof first === 'string' || first instanceof URL ? { ...second, url: String(first) } : first) }
    let url = config.baseURL && !/^([a-z][a-z\d+.-]*:)?\/\//i.test(config.url) ? config.baseURL.replace(/\/+$/, '') + '/' + String(config.url || '').replace(/^\/+/, '') : config.url
    if (config.params) url += (url.includes('?') ? '&' : '?') + new URLSearchParams(config.params)
    const body = config.data === undefined ? undefined : typeof config.data === 'string' ? config.data : JSON.stringify(config.data)
    const got = await ask(url, { method: (config.method || 'get').toUpperCase(), headers: config.headers, body, most: config.maxRedirects ?? 5, agent: config.httpAgent || config.httpsAgent ? { http: config.httpAgent, https: config.httpsAgent || https.globalAgent } : undefined, lookup: config.lookup, onRedirect: config.beforeRedirect })
    const data = config.responseType === 'stream' ? Readable.from([got.body]) : config.responseType === 'arraybuffer' ? got.body : parsed(got.body)
    const response = { ...got, body: undefined, data, config, request: { res: { responseUrl: got.url } } }
    const fine = config.validateStatus === undefined ? got.status >= 200 && got.status < 300 : !config.validateStatus || config.validateStatus(got.status)
    if (!fine) throw Object.assign(new Error(`Request failed with status code ${got.status}`), { response, isAxiosError: true })
    return response
  }
  for (const method of ['get', 'delete', 'head', 'options']) call[method] = (url, config) => call({ ...config, url, method })
  for (const method of ['post', 'put', 'patch']) call[method] = (url, data, config) => call({ ...config, url, data, method })
  return Object.assign(call, { request: call, create: more => axios({ ...defaults, ...more }), defaults: { headers: { common: {} } }, isAxiosError: err => !!(err && err.isAxiosError), interceptors: { request: { use () {} }, response: { use () {} } } })
}

function got () {
  const call = (first, second = {}) => {
    const options = typeof first === 'string' || first instanceof URL ? { ...second, url: String(first) } : first
    const promise = ask(options.url, { method: options.method, headers: options.headers, body: options.json ? JSON.stringify(options.json) : options.body, most: options.followRedirect === false ? 0 : options.maxRedirects ?? 10, agent: options.agent, lookup: options.dnsLookup || options.lookup })
      .then(res => {
        for (const hook of res.url !== String(options.url) ? (options.hooks && options.hooks.beforeRedirect) || [] : []) hook({ url: new URL(res.url) }, res)
        if (res.status >= 400) throw new Error(`Response code ${res.status}`)
        return { ...res, rawBody: res.body, statusCode: res.status, body: options.responseType === 'json' ? JSON.parse(res.body) : options.responseType === 'buffer' ? res.body : String(res.body) }
      })
    promise.text = () => promise.then(r => String(r.rawBody))
    promise.json = () => promise.then(r => JSON.parse(r.rawBody))
    promise.buffer = () => promise.then(r => r.rawBody)
    return promise
  }
  for (const method of ['get', 'post', 'put', 'patch', 'head', 'delete']) call[method] = (url, options) => call(url, { ...options, method: method.toUpperCase() })
  call.stream = (...args) => Readable.from((async function * () { yield (await call(...args)).rawBody })())
  return Object.assign(call, { extend: () => call })
}

// nodeFetch is fetch whose agent counts, and whose body is a stream of Node's.
async function nodeFetch (url, options = {}) {
  const most = options.redirect === 'manual' || options.redirect === 'error' ? 0 : options.follow ?? 20
  const res = await ask(url.url || url, { ...options, most })
  if (options.redirect === 'error' && res.status >= 300 && res.status < 400) throw new TypeError(`uri requested responds with a redirect, redirect mode is set to error: ${url}`)
  const response = new Response(res.body, { status: res.status, headers: res.headers })
  Object.defineProperty(response, 'url', { value: res.url })
  Object.defineProperty(response, 'redirected', { value: res.url !== String(url) })
  response.buffer = async () => res.body
  return new Proxy(response, {
    get (of, key) {
      if (key === 'body') return Readable.from([res.body])
      const value = Reflect.get(of, key, of)
      return typeof value === 'function' ? value.bind(of) : value
    }
  })
}

// request is the old module: a callback, or a stream.
function request (promised) {
  const call = (first, second, third) => {
    const options = typeof first === 'object' ? first : { ...(typeof second === 'object' ? second : {}), url: first }
    const callback = [second, third, options.callback].find(f => typeof f === 'function')
    const most = options.followRedirect === false || options.maxRedirects === 0 ? 0 : options.maxRedirects || 10
    const going = ask(String(options.url.href || options.url || options.uri), { method: options.method, headers: options.headers, most, agent: options.agent, lookup: options.lookup })
      .then(res => ({ ...res, statusCode: res.status, body: options.encoding === null ? res.body : options.json ? parsed(res.body) : String(res.body) }))
    if (promised) return going.then(res => options.resolveWithFullResponse ? res : res.body)
    const stream = Readable.from((async function * () { yield Buffer.from((await going).body) })())
    if (callback) going.then(res => callback(null, res, res.body), err => callback(err))
    else going.then(res => stream.emit('response', res), err => stream.destroy(err))
    return stream
  }
  for (const method of ['get', 'post', 'put', 'head', 'delete']) call[method] = (first, ...rest) => call(typeof first === 'object' ? { ...first, method: method.toUpperCase() } : first, ...rest)
  return Object.assign(call, { defaults: () => call })
}

function needle (method, url, ...rest) {
  const callback = rest.find(f => typeof f === 'function')
  const options = rest.filter(o => o && typeof o === 'object').pop() || {}
  const going = ask(url, { method: method.toUpperCase(), most: options.follow_max || options.follow || 0, agent: options.agent, lookup: options.lookup }).then(res => ({ ...res, statusCode: res.status, body: parsed(res.body) }))
  if (callback) going.then(res => callback(null, res, res.body), err => callback(err))
  return going
}
needle.get = (...args) => needle('get', ...args)

const own = {
  axios: () => { const made = axios(); return Object.assign(made, { default: made }) },
  got: () => { const made = got(); return Object.assign(made, { default: made, got: made }) },
  'node-fetch': () => Object.assign(nodeFetch, { default: nodeFetch }),
  'cross-fetch': () => Object.assign(nodeFetch, { default: nodeFetch, fetch: nodeFetch }),
  'isomorphic-fetch': () => nodeFetch,
  undici: () => ({ fetch, request: async (url, options = {}) => { const res = await ask(url, { ...options, most: options.maxRedirections || 0 }); return { statusCode: res.status, headers: res.headers, body: { text: async () => String(res.body), json: async () => JSON.parse(res.body) } } } }),
  request: () => request(false),
  'request-promise': () => request(true),
  'request-promise-native': () => request(true),
  needle: () => needle
}

exports.modules = name => Object.hasOwn(own, name) ? { value: own[name]() } : undefined

exports.roles = (name, run) => {
  const is = { axios: 'axios', got: 'got', needle: 'needle', nodeFetch: 'node-fetch', rp: 'request-promise' }[name]
  if (is) return { value: own[is]() }
  if (name === 'request' && /(?<![\w.])request(\.(get|post|head|put)\s*\(\s*(?!['"][\w-]+['"]\s*\))|\s*\()/.test(run.source)) return { value: own.request() }
}

// hosts are those that the snippets name, as a list of what is allowed may do.
function hosts (pair) {
  const text = pair.target.source + '\n' + pair.affected.source
  const names = [...text.matchAll(/https?:\/\/([a-z0-9-]+(?:\.[a-z0-9-]+)+)/gi), ...text.matchAll(/['"`]((?:\.|\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)+)['"`]/gi), ...text.matchAll(/\/\^?(?:https\??:\\\/\\\/)?((?:[a-z0-9-]+\\\.)+[a-z]{2,})/gi)]
    .map(m => m[1].replace(/\\/g, '').toLowerCase().replace(/^\*?\./, 'www.'))
  const usual = name => !/\.(js|json|mjs|html?|txt|png|jpe?g|gif|svg|pdf|internal|local|localhost|\d+)$/.test(name) && resolve(name) && side(resolve(name)) === outside
  return [...new Set(names)].filter(usual)
}

// shapes are what a snippet may take: a URL, a host, or what follows a host.
const shapes = {
  https: url => url.replace(/^http:/i, 'https:'),
  http: url => url,
  host: url => url.replace(/^\w+:\/\//, '').replace(/[/?].*$/, ''),
  tail: url => '@' + url.replace(/^\w+:\/\//, '')
}

async function attempt (snippet, value, control) {
  hits.length = 0
  const outcome = await snippet.run(value, { control })
  const shown = JSON.stringify([outcome.values, outcome.called, outcome.sent, outcome.declared], (_, v) => v && v.type === 'Buffer' ? Buffer.from(v.data).toString() : v instanceof Error ? '' : typeof v === 'bigint' ? String(v) : v instanceof ArrayBuffer ? Buffer.from(v).toString() : v && typeof v === 'object' && typeof v.pipe === 'function' ? '' : v, 0)
  return { outcome, hits: [...hits], shown: shown || '' }
}

// offers are harmless addresses in every shape.
const offers = (pair, at) => [...hosts(pair), 'www.example.com'].flatMap(host => Object.keys(shapes).map(shape => ({ shape, host, value: shape === 'tail' ? at : shapes[shape](`http://${host}${at}`) })))
const outer = got => got.hits.find(h => h.where === outside)
const failure = outcome => outcome.fault || (outcome.error && (outcome.error.message || String(outcome.error)))

// shapeOf is the shape in which the vulnerable snippet takes its input.
async function shapeOf (pair, at) {
  let why
  for (const { shape, host, value } of offers(pair, at)) {
    const got = await attempt(pair.affected, value, true)
    const hit = outer(got)
    if (hit && !got.outcome.error && (shape === 'tail' ? hit.url.endsWith(at) : hit.host === host && (shape === 'host' || hit.url === at))) return { shape }
    why = failure(got.outcome) || why
  }
  return { why: why || 'nothing is fetched' }
}

exports.attack = async (pair, payloads) => {
  await world()
  const { shape } = await shapeOf(pair, '/logo.png')
  const forms = !shape || shape === 'https' ? ['http', 'https'] : [shape, ...(shape === 'http' && /https/.test(pair.target.source) ? ['https'] : [])]
  for (const payload of payloads) {
    const known = /\{host\}|\{domain\}/.test(payload) ? hosts(pair).slice(0, 3) : ['']
    for (const host of known.length ? known : ['www.example.com']) {
      for (const form of forms) {
        const value = shapes[form](payload.replace('{host}', host).replace('{domain}', host.split('.').slice(-2).join('.')))
        const got = await attempt(pair.target, value)
        if (got.hits.some(h => h.where === inside)) return value
      }
    }
  }
}

// benign: one and the same address must be fetched alike by both, any that the patch still allows.
exports.benign = async (pair, at) => {
  await world()
  const { shape, why } = await shapeOf(pair, at)
  if (!shape) throw new Error(`the vulnerable snippet fetches none of the outside's addresses: ${why}`)
  const forms = /^https?$/.test(shape) ? ['https', 'http'] : [shape]
  let lost
  for (const { value } of offers(pair, at).filter(o => forms.includes(o.shape))) {
    const before = await attempt(pair.affected, value, true)
    const was = outer(before)
    if (!was || before.outcome.error) continue
    const after = await attempt(pair.target, value, true)
    const is = outer(after)
    const text = content(was.url)
    if (is && is.host === was.host && is.url === was.url && is.method === was.method && !after.outcome.error && before.shown.includes(text) === after.shown.includes(text)) {
      await attempt(pair.target, value)
      return
    }
    lost = after.outcome.fault || `${value} is no longer fetched` + (after.outcome.error ? `: ${failure(after.outcome)}` : '')
  }
  throw new Error(lost || 'nothing is fetched')
}
