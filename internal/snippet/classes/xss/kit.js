'use strict'
// Cross-site scripting in JavaScript: what a snippet sends, returns or puts into a stand-in document is read as HTML (see
// markup.py). Escapers and sanitizers that patches load from packages are stood in for.
const path = require('path')
const { python } = require('../harness/child')
const { mentions } = require('../harness/source')

const ask = python(path.join(__dirname, 'markup.py'))
const probe = 'crisolprobe'
const signs = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escape = s => String(s).replace(/[&<>"']/g, c => signs[c])
const unescape = s => String(s).replace(/&(amp|lt|gt|quot|#39|#x27);/gi, m => ({ '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"' })[m.toLowerCase()] || "'")
const sanitize = (s, options = {}) => ask({ do: 'sanitize', html: String(s), tags: options.allowedTags || options.ALLOWED_TAGS || (options.whiteList ? Object.keys(options.whiteList) : undefined), strip: options.strip !== false })
const strip = s => ask({ do: 'sanitize', html: String(s), tags: [] })
const note = (run, html, inert) => run.state.pages.push({ html: String(html), inert: !!inert })

// element is a node of a page: what becomes its markup, its text or an attribute is noted.
function element (run, tag = 'div') {
  const own = { tagName: tag.toUpperCase(), style: {}, dataset: {}, classList: { add () {}, remove () {}, toggle () {}, contains: () => false }, children: [], childNodes: [], nodeType: 1 }
  const attribute = (name, value) => note(run, `<${tag} ${name}="${escape(value)}">`)
  const insert = (...nodes) => { for (const n of nodes) if (typeof n === 'string' || typeof n === 'number') note(run, escape(n)); return nodes[0] }
  const methods = {
    insertAdjacentHTML: (_, html) => note(run, html, true), insertAdjacentText: (_, s) => note(run, escape(s)), insertAdjacentElement: (_, n) => n,
    setHTML: html => note(run, sanitize(html), true), setHTMLUnsafe: html => note(run, html, true), write: html => note(run, html),
    createContextualFragment: html => note(run, html), setAttribute: (name, value) => attribute(name, value), getAttribute: () => run.read('value'), removeAttribute () {}, remove () {},
    appendChild: insert, append: insert, prepend: insert, before: insert, after: insert, replaceWith: insert, replaceChildren: insert, insertBefore: insert,
    querySelector: () => element(run), querySelectorAll: () => [element(run)], closest: () => node, cloneNode: () => node, focus () {}, removeChild () {},
    addEventListener: (_, handler) => { run.routes.push(handler) }
  }
  const node = new Proxy(own, {
    get (_, key) {
      if (key in own) return own[key]
      if (Object.hasOwn(methods, key)) return methods[key]
      if (key === 'innerHTML') return 'textContent' in own ? String(own.textContent).replace(/[&<>]/g, c => signs[c]) : ''
      if (key === 'textContent' || key === 'innerText') return 'innerHTML' in own ? ask({ do: 'text', html: String(own.innerHTML) }) : ''
      if (key === 'value') return run.read('value')
      if (key === 'content' || /^(parent|first|last|next|previous)/.test(String(key))) return element(run)
    },
    set (_, key, value) {
      if (key === 'innerHTML' || key === 'outerHTML') note(run, value, true)
      else if (key === 'srcdoc') note(run, value)
      else if (key === 'text' && tag === 'script') note(run, `<script>${value}</script>`)
      else if (/^(textContent|innerText|text|data|nodeValue)$/.test(key)) note(run, tag === 'script' ? `<script>${value}</script>` : escape(value))
      else if (/^(href|src|action|formAction|value|title|alt|placeholder)$/.test(key)) attribute(key.toLowerCase(), value)
      if (/^(textContent|innerText)$/.test(key)) { delete own.innerHTML; own.textContent = value } else if (key === 'innerHTML') { delete own.textContent; own.innerHTML = value } else own[key] = value
      return true
    }
  })
  return node
}

// place is the page's address: the input is its fragment and every parameter that the snippet names.
function place (run) {
  const names = [...run.source.matchAll(/\.(?:get|has|getAll)\(\s*['"]([^'"]+)/g)].map(m => m[1])
  const query = () => { run.take(names[0] || 'search'); return '?' + (names.length ? names : ['q']).map(n => `${n}=${encodeURIComponent(run.input)}`).join('&') }
  return {
    get hash () { run.take('hash'); return '#' + run.input }, get search () { return query() }, get href () { return 'https://app.example/page' + query() + '#' + run.input },
    pathname: '/page', origin: 'https://app.example', host: 'app.example', hostname: 'app.example', protocol: 'https:', toString () { return this.href }, assign () {}, replace () {}, reload () {}
  }
}

function page (run) {
  const one = tag => element(run, String(tag).toLowerCase())
  const found = () => element(run)
  const at = place(run)
  return {
    write: (...parts) => note(run, parts.join('')), writeln: (...parts) => note(run, parts.join('')), createElement: one, createElementNS: (_, tag) => one(tag), createTextNode: s => { note(run, escape(s)); return element(run, '#text') },
    createDocumentFragment: found, createRange: found, getElementById: found, querySelector: found, querySelectorAll: () => [found()], getElementsByClassName: () => [found()], getElementsByTagName: () => [found()], getElementsByName: () => [found()],
    body: found(), head: found(), documentElement: found(), open () {}, close () {}, addEventListener: (_, handler) => { run.routes.push(handler) }, readyState: 'complete', title: '', location: at,
    get URL () { return at.href }, get baseURI () { return at.href }, get documentURI () { return at.href }, get referrer () { return run.read('referrer') }, get cookie () { return run.read('cookie') }
  }
}

// query is jQuery's function.
function query (run) {
  const $ = what => {
    if (typeof what === 'function') { run.routes.push(what); return chain }
    if (typeof what === 'string' && /^\s*</.test(what)) note(run, what)
    return chain
  }
  const put = html => { if (typeof html === 'string') note(run, html); return chain }
  const own = {
    html: put, append: put, prepend: put, before: put, after: put, replaceWith: put, appendTo: () => chain, wrap: put,
    text: s => s === undefined ? run.read('value') : (note(run, escape(s)), chain), val: s => s === undefined ? run.read('value') : (note(run, `<input value="${escape(s)}">`), chain),
    attr: (name, value) => value === undefined ? run.read('value') : (note(run, `<a ${name}="${escape(value)}">`), chain), on: (_, handler) => { if (typeof handler === 'function') run.routes.push(handler); return chain }, length: 1, 0: element(run)
  }
  const chain = new Proxy(own, { get: (_, key) => key in own ? own[key] : typeof key === 'string' && key !== 'then' ? () => chain : undefined })
  return Object.assign($, { parseHTML: html => { note(run, html); return [] }, trim: s => s.trim(), ajax () {}, get () {} })
}

function templates (run) {
  const value = (data, expression) => {
    if (!/^[\w$.]+$/.test(expression)) run.missing(`the expression ${expression} of a template can't be told`)
    return expression.split('.').reduce((of, key) => of === undefined || of === null ? '' : key === 'locals' ? of : of[key], data)
  }
  const fill = (text, data, forms) => {
    for (const [form, safe] of forms) text = text.replace(form, (_, expression) => { const v = value(data, expression.trim()); return safe && !(v && v.safe) ? escape(v === undefined ? '' : v) : String(v) })
    return text
  }
  const braces = [[/\{\{\{\s*([^}]*?)\s*\}\}\}|\{\{&\s*([^}]*?)\s*\}\}/g, false], [/\{\{\s*([^#/!>{}&][^}]*?)\s*\}\}/g, true]]
  const angles = [[/<%-\s*([\s\S]*?)\s*-?%>/g, false], [/<%=\s*([\s\S]*?)\s*-?%>/g, true]]
  const engine = forms => {
    const render = (text, data = {}) => fill(String(text), data, forms)
    return { render, to_html: render, compile: text => data => render(text, data), SafeString: class { constructor (s) { this.s = s; this.safe = true } toString () { return this.s } }, escapeExpression: escape, Utils: { escapeExpression: escape }, escape, escapeXML: escape, registerHelper () {} }
  }
  return { mustache: engine(braces), handlebars: engine(braces), ejs: engine(angles) }
}

const purifier = Object.assign(() => purifier, { sanitize, addHook () {}, setConfig () {} })
const filter = Object.assign((s, options) => sanitize(s, { strip: false, ...options }), { escapeHtml: s => String(s).replace(/[<>]/g, c => signs[c]), filterXSS: (s, options) => filter(s, { strip: false, ...options }), FilterXSS: function () { return { process: filter } } })
const lodash = { escape, unescape, get: (o, p) => o[p], trim: s => String(s).trim() }
const packages = {
  'escape-html': escape, he: { encode: escape, escape, decode: unescape, unescape }, lodash, underscore: lodash, 'lodash.escape': escape, 'lodash/escape': escape, 'html-escaper': { escape, unescape },
  validator: { escape, unescape, trim: s => String(s).trim(), stripLow: s => s, isURL: (s, o = {}) => { try { return (o.protocols || ['http', 'https', 'ftp']).includes(new URL(s).protocol.slice(0, -1)) } catch { return false } }, isAlphanumeric: s => /^[a-z0-9]+$/i.test(s) },
  'html-entities': { encode: escape, decode: unescape }, entities: { escape, encodeHTML: escape, escapeUTF8: escape, encodeXML: escape, decodeHTML: unescape }, 'sanitize-html': sanitize, xss: filter,
  dompurify: purifier, 'isomorphic-dompurify': purifier, striptags: strip, 'xss-filters': { inHTMLData: s => String(s).replace(/</g, '&lt;'), inDoubleQuotedAttr: s => String(s).replace(/"/g, '&quot;'), inSingleQuotedAttr: s => String(s).replace(/'/g, '&#39;') },
  'serialize-javascript': v => JSON.stringify(v).replace(/[<>\/\u2028\u2029]/g, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')),
  '@braintree/sanitize-url': { sanitizeUrl: s => /^(https?|mailto|tel):|^[^:]*$/i.test(String(s).replace(/[\s\x00-\x1f]/g, '')) ? s : 'about:blank' }, jsdom: { JSDOM: function () { return { window: {} } } }
}

exports.modules = (name, run) => {
  if (Object.hasOwn(packages, name)) return { value: packages[name] }
  if (/^(mustache|handlebars|ejs)$/.test(name)) return { value: templates(run)[name] }
  if (name === 'jquery') return { value: query(run) }
}

const names = {
  DOMPurify: purifier, purify: purifier, he: packages.he, _: lodash, lodash, validator: packages.validator, sanitizeHtml: sanitize, sanitizeHTML: sanitize,
  escapeHtml: escape, escapeHTML: escape, htmlEscape: escape, encodeHTML: escape, escape_html: escape, striptags: strip, filterXSS: filter
}
const written = name => new RegExp(`(?<![\\w$.])${name.replace(/\$/g, '\\$&')}\\.(innerHTML|outerHTML|textContent|innerText|insertAdjacent\\w+|appendChild|append|prepend|replaceChildren|replaceWith|setAttribute|setHTML|srcdoc|href|src)\\b`)

exports.roles = (name, run) => {
  if (name === 'document') return { value: run.state.document = run.state.document || page(run) }
  if (name === 'location') return { value: place(run) }
  if (name === 'window' || name === 'self' || name === 'globalThis') return { value: new Proxy({}, { get: (_, key) => typeof key !== 'string' ? undefined : key === 'window' ? undefined : (run.given(key) || { value: globalThis[key] }).value, has: () => true }) }
  if (name === '$' || name === 'jQuery') return { value: query(run) }
  if (name === 'DOMParser') return { value: function () { return { parseFromString: html => ({ body: { get textContent () { return ask({ do: 'text', html }) }, innerHTML: html }, documentElement: { textContent: ask({ do: 'text', html }) } }) } } }
  if (/^(mustache|handlebars|ejs)$/i.test(name)) return { value: templates(run)[name.toLowerCase()] }
  if (name === 'URL' || name === 'URLSearchParams') return undefined
  if (Object.hasOwn(names, name)) return { value: names[name] }
  if (written(name).test(run.source) || /^(el|elem|element|container|preview|outputEl|\w+(El|Element|Div|Node|Container))$/.test(name)) {
    const kind = /^(a|link|anchor)$/i.test(name) ? 'a' : /^(iframe|frame)$/i.test(name) ? 'iframe' : /^(img|image)$/i.test(name) ? 'img' : 'div'
    return /^(req|request|res|response|ctx)$/.test(name) ? undefined : { value: element(run, kind) }
  }
}

exports.response = run => {
  const { state } = run
  const typed = (name, value) => { if (name && typeof name === 'object') return Object.entries(name).forEach(([k, v]) => typed(k, v)); if (/^content-type$/i.test(name)) state.type = String(value) }
  return {
    write (part) { state.parts.push(String(part)); return true },
    end (part) { if (part !== undefined && typeof part !== 'function') state.parts.push(String(part)); return this },
    set (name, value) { typed(name, value); return this }, setHeader (name, value) { typed(name, value); return this }, header (name, value) { typed(name, value); return this },
    type (value) { state.type = value === 'html' ? 'text/html' : /\//.test(value) ? value : 'text/' + value; return this }, contentType (value) { return this.type(value) },
    writeHead (status, ...rest) { typed(rest.pop()); return this },
    render () { run.missing('the template that is rendered is not in the snippet') }
  }
}

// fragments lists the HTML in what a snippet gave back.
function fragments (value) {
  if (typeof value === 'string') return [{ html: value }]
  if (Buffer.isBuffer(value)) return [{ html: value.toString() }]
  if (Array.isArray(value)) return value.every(v => typeof v === 'string') ? [{ html: value.join('') }] : value.flatMap(fragments)
  if (value instanceof String || (value && value.safe === true)) return [{ html: String(value) }]
  if (value && typeof value === 'object') {
    if (typeof value.__html === 'string') return [{ html: value.__html, inert: true }]
    if (typeof value.body === 'string') return [{ html: value.body, kind: /html/.test(JSON.stringify(value.headers || 'html')) ? '' : 'plain' }]
    for (const key of ['html', 'dangerouslySetInnerHTML', 'content', 'markup']) if (key in Object(value)) return fragments(value[key])
  }
  return []
}

// results are the variables that the snippet reads nowhere, else the last that it declares.
function results (source, declared) {
  const texts = Object.keys(declared).filter(name => declared[name] && typeof declared[name] !== 'function')
  const last = texts.filter(name => mentions(source, name) === 1)
  return (last.length ? last : texts.slice(-1)).map(name => declared[name])
}

async function attempt (snippet, value, control) {
  const state = { pages: [], parts: [], type: 'text/html' }
  const outcome = await snippet.run(value, { control, state })
  const kind = /html|xml|svg/i.test(state.type) ? '' : 'plain'
  const pages = [...state.pages]
  if (state.parts.length) pages.push({ html: state.parts.join(''), kind })
  for (const { how, args } of outcome.sent) {
    if (how === 'redirect' || how === 'sendStatus') continue
    const plain = how === 'json' || (args[0] && typeof args[0] === 'object' && !Buffer.isBuffer(args[0]))
    pages.push(...(plain ? [{ html: JSON.stringify(args[0]) || '', kind: 'plain' }] : fragments(args[0]).map(p => ({ kind, ...p }))))
  }
  for (const one of [...outcome.values, ...outcome.called.flatMap(c => c.args)]) if (!(one instanceof Error)) pages.push(...fragments(one))
  if (!pages.length && !outcome.errors.length) for (const one of results(snippet.source, outcome.declared)) pages.push(...fragments(one))
  return { outcome, pages }
}

exports.attack = async ({ target }, payloads) => {
  const usual = ask({ do: 'hits', pages: (await attempt(target, probe, true)).pages })
  for (const payload of payloads) {
    const got = await attempt(target, payload)
    if (ask({ do: 'hits', pages: got.pages }) > usual) return payload
  }
}

const number = /^(id|page|num|number|count|limit|offset|age|qty|quantity|year|size|\w+(Id|_id|Count))$/

// inputs chooses harmless inputs by the names that are read, and by whether they are shown as the address of a link.
const inputs = (payload, seen) => {
  if (ask({ do: 'shown', pages: seen.pages, value: probe }).includes('link')) return payload.urls
  return seen.outcome.names.size && [...seen.outcome.names].every(n => number.test(n)) ? payload.numbers : payload.values
}

exports.benign = async ({ target, affected }, payload) => {
  let compared = false
  let why = 'it shows nothing'
  const values = inputs(payload, await attempt(affected, probe, true))
  for (const value of values) {
    const was = await attempt(affected, value, true)
    if (was.outcome.error || !ask({ do: 'shown', pages: was.pages, value }).length) {
      why = (was.outcome.error && was.outcome.error.message) || was.outcome.fault || why
      continue
    }
    compared = true
    const is = await attempt(target, value)
    if (!is.outcome.proper) throw new Error(is.outcome.fault)
    if (is.outcome.error) throw is.outcome.error
    if (!ask({ do: 'shown', pages: is.pages, value }).length) throw new Error(`${value} is no longer shown: ${JSON.stringify(is.pages.map(p => p.html)).slice(0, 300)}`)
    const usual = ask({ do: 'literal', pages: was.pages })
    const odd = ask({ do: 'literal', pages: is.pages }).find(tag => !usual.includes(tag))
    if (odd) throw new Error(`with ${value}, the tag ${odd} is shown as text`)
  }
  if (!compared) throw new Error(`the vulnerable snippet shows none of ${values.join(', ')}: ${why}`)
}
