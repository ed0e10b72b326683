'use strict'
// Open redirects in JavaScript: where a snippet sends the browser is resolved as a browser does, by Node's own URL, against
// a page of the site. The site is https://app.example; whatever host holds the word evil is the attacker's. A script URL is
// an effect only where a page goes there by itself: browsers follow no such Location.
const http = require('http')

const site = 'app.example'
const page = `https://${site}/account/login`

// encoded is what express and koa make of a Location: what no URL may hold is percent-encoded, backslashes aren't.
const encoded = url => String(url).replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd')
  .replace(/(?:[^\x21\x23-\x3B\x3D\x3F-\x5F\x61-\x7A\x7C\x7E]|%(?:[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|$))+/g, encodeURI)

const note = (run, url, by) => { run.state.going.push({ url: String(url), by }) }

// header notes a Location as Node would send it: it refuses line breaks and other signs.
function header (run, name, value) {
  if (name && typeof name === 'object') return Object.entries(name).forEach(([k, v]) => header(run, k, v))
  if (!/^location$/i.test(name)) return
  http.validateHeaderValue('Location', String(value))
  note(run, value, 'header')
}

const framework = (run, args) => header(run, 'Location', encoded(args.find(a => typeof a !== 'number')))

exports.response = run => ({
  redirect (...args) { framework(run, args); return this },
  location (url) { framework(run, [url]); return this },
  set (...args) { header(run, ...args); return this },
  header (...args) { header(run, ...args); return this },
  setHeader (...args) { header(run, ...args); return this },
  append (...args) { header(run, ...args); return this },
  writeHead (status, ...rest) { header(run, rest.pop()); return this }
})

// place is the page's location: reading it gives the input, as its fragment and every parameter that the snippet names.
function place (run) {
  const names = [...run.source.matchAll(/\.(?:get|has|getAll)\(\s*['"]([^'"]+)/g)].map(m => m[1])
  const query = () => { run.take(names[0] || 'search'); return '?' + (names.length ? names : ['next']).map(n => `${n}=${encodeURIComponent(run.input)}`).join('&') }
  const go = url => note(run, url, 'page')
  return {
    get search () { return query() }, get hash () { run.take('hash'); return '#' + run.input }, get href () { return page + query() }, set href (url) { go(url) },
    pathname: '/account/login', origin: `https://${site}`, host: site, hostname: site, protocol: 'https:', port: '', assign: go, replace: go, reload () {}, toString () { return this.href }
  }
}

// holder is window or document: to set its location is to go there.
function holder (run, more) {
  const own = { ...more, addEventListener: (_, handler) => { run.routes.push(handler) }, setTimeout: fn => fn() }
  return new Proxy(own, {
    get: (_, key) => key === 'location' ? run.given('location').value : key in own ? own[key] : typeof key === 'string' && key !== 'then' ? (run.given(key) || { value: globalThis[key] }).value : undefined,
    set: (_, key, value) => { if (key === 'location') note(run, value, 'page'); else own[key] = value; return true },
    has: () => true
  })
}

function request (run) {
  const made = run.request()
  const own = { host: site, origin: `https://${site}` }
  const get = name => Object.hasOwn(own, String(name).toLowerCase()) ? own[String(name).toLowerCase()] : run.read('header')
  made.get = made.header = get
  made.headers.host = site
  Object.assign(made, { host: site, hostname: site, protocol: 'https', secure: true, nextUrl: { origin: `https://${site}`, searchParams: { get: name => run.read(name) }, clone: () => new URL(page) } })
  return made
}

const answer = run => (url, status) => { note(run, new URL(String(url)).href, 'header'); return { status } } // as Response.redirect, which takes no path
const redirect = run => (...args) => { framework(run, args); return {} }

exports.roles = (name, run) => {
  if (/^(req|request)$/i.test(name)) return { value: request(run) }
  if (name === 'location') return { value: place(run) }
  if (/^(window|self|top|globalThis)$/.test(name)) return { value: holder(run, { open: url => { note(run, url, 'page') }, get document () { return run.given('document').value } }) }
  if (name === 'document') return { value: holder(run, { getElementById: () => ({ value: run.read('value') }), querySelector: () => ({ value: run.read('value') }), get referrer () { return run.read('referrer') }, readyState: 'complete' }) }
  if (name === 'Response' || name === 'NextResponse') return { value: Object.assign(function () {}, { redirect: answer(run), next: () => ({}), json: () => ({}) }) }
  if (name === 'redirect' || name === 'permanentRedirect') return { value: redirect(run) }
}

exports.modules = (name, run) => {
  if (name === 'next/server') return { value: { NextResponse: exports.roles('NextResponse', run).value } }
  if (/^(next\/navigation|@remix-run\/\w+|react-router|@sveltejs\/kit)$/.test(name)) return { value: { redirect: redirect(run), permanentRedirect: redirect(run) } }
}

// offered are the locations in what a snippet returned.
function offered (value) {
  if (typeof value === 'string') return /[<>\n]/.test(value) ? [] : [{ url: value, by: 'text' }]
  if (value instanceof URL) return [{ url: value.href, by: 'text' }]
  if (!value || typeof value !== 'object') return []
  const headers = value.headers && Object.entries(value.headers).find(([k]) => /^location$/i.test(k))
  if (headers) return [{ url: String(headers[1]), by: 'header' }]
  const to = value.redirect && (value.redirect.destination || value.redirect)
  return typeof to === 'string' ? [{ url: to, by: 'header' }] : []
}

// A bare assignment to location is one to the window's.
const rewrite = source => source.replace(/(?<![\w$.]|(?:const|let|var)\s+)location(?=\s*=(?!=))/g, 'window.location')

async function attempt (snippet, value, control) {
  for (const [, name] of snippet.source.matchAll(/process\.env\.(\w*(?:URL|ORIGIN|HOST|DOMAIN)\w*)/g)) process.env[name] = /URL|ORIGIN/.test(name) ? `https://${site}` : site
  const state = { going: [] }
  const outcome = await snippet.run(value, { control, state, rewrite })
  const going = [...state.going, ...outcome.sent.filter(s => s.how === 'redirect').map(s => ({ url: encoded(s.args.find(a => typeof a !== 'number')), by: 'header' }))]
  if (!going.length) going.push(...[...outcome.values, ...outcome.called.flatMap(c => c.args)].flatMap(offered))
  if (!going.length && !outcome.errors.length && !/\bres\b|redirect\s*\(|location/.test(snippet.source)) going.push(...Object.values(outcome.declared).slice(-1).flatMap(offered))
  return { outcome, going }
}

function resolve (url) { try { return new URL(url, page) } catch { return undefined } }

const hostile = ({ url, by }) => {
  const to = resolve(url)
  return !!to && ((/^(https?|ftp):$/.test(to.protocol) && /evil/.test(to.hostname)) || (to.protocol === 'javascript:' && by !== 'header'))
}

// hosts are those that the snippets name, and the site's.
function hosts (pair) {
  const text = pair.target.source + '\n' + pair.affected.source
  const names = [...text.matchAll(/https?:\/\/([a-z0-9-]+(?:\.[a-z0-9-]+)+)/gi), ...text.matchAll(/['"`](?:\*?\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)['"`]/gi), ...text.matchAll(/(?:\\\/\\\/|\^)((?:[a-z0-9-]+\\?\.)+[a-z]{2,})/gi), ...text.matchAll(/((?:[a-z0-9-]+\\\.)+[a-z]{2,})/gi)]
    .map(m => m[1].replace(/\\/g, '').toLowerCase()).filter(n => !/\.(js|json|html?|ejs|php)$/.test(n))
  return [...new Set([...names, site])]
}

exports.attack = async (pair, payloads) => {
  const known = hosts(pair).slice(0, 3)
  for (const payload of payloads) {
    for (const host of /\{host\}|\{domain\}/.test(payload) ? known : ['']) {
      const value = payload.replaceAll('{host}', host).replaceAll('{domain}', host.split('.').slice(-2).join('.'))
      const got = await attempt(pair.target, value)
      if (got.going.some(hostile)) return value
    }
  }
}

const general = ['/welcome/back', 'welcome/back', `https://${site}/welcome/back`]

// offers are harmless places: paths of any kind, those that the snippets list, and pages of hosts that they name.
function offers (pair) {
  const text = pair.target.source + '\n' + pair.affected.source
  const listed = [...text.matchAll(/['"`](\/?[\w-]+(?:\/[\w-]+)*\/?)['"`]/g)].map(m => m[1])
  return [...new Set([...general, ...hosts(pair).flatMap(h => [`https://${h}/welcome`, `https://www.${h}/welcome`, h, `www.${h}`]), ...listed])]
}

const led = got => got.going.length && !got.outcome.error ? (resolve(got.going[got.going.length - 1].url) || {}).href : undefined
const mine = (href, pair) => { const to = href && resolve(href); return !!to && to.protocol !== 'javascript:' && hosts(pair).some(h => to.hostname === h || to.hostname.endsWith('.' + h)) }
const failure = ({ outcome }) => outcome.fault || (outcome.error && (outcome.error.message || String(outcome.error)))

// benign: one and the same place must be reached through both, any that the patch still allows and that isn't where it
// sends everybody. A query must not hinder unless only listed places are allowed.
exports.benign = async (pair, more) => {
  const elsewhere = led(await attempt(pair.target, 'https://evil.example/nowhere', true))
  let why = 'it leads nowhere'
  for (const value of offers(pair)) {
    if (more && !general.includes(value)) continue
    const was = await attempt(pair.affected, value, true)
    if (!mine(led(was), pair)) { why = failure(was) || why; continue }
    const is = await attempt(pair.target, value, true)
    if (!is.outcome.proper) throw new Error(is.outcome.fault)
    if (led(is) !== led(was) || led(is) === elsewhere) { why = `${value} leads to ${led(is) || failure(is) || 'nothing'}, no longer to ${led(was)}`; continue }
    if (more && led(await attempt(pair.affected, value + more, true)) !== led(await attempt(pair.target, value + more, true))) throw new Error(`${value} is allowed, ${value + more} no longer is`)
    await attempt(pair.target, value + more)
    return
  }
  if (more) return // only listed places are allowed, or the affected snippet takes no path
  throw new Error(why)
}
