'use strict'
// XML external entities in JavaScript. libxmljs isn't in the sandbox; what stands for it parses with a real parser and the
// options that it is given (core.py). A file of the vault that is opened, a request that a listener on loopback gets, and
// the secret in a result are the effect.
const fs = require('fs')
const path = require('path')
const { randomBytes } = require('crypto')
const { python } = require('../harness/child')

const ask = python(path.join(__dirname, 'core.py'))

const vault = path.join(path.dirname(__dirname), 'vault')
const secret = 'secret-' + randomBytes(8).toString('hex')
const escaped = text => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')

class Text {
  constructor (text, parent, kind = 'text') { Object.assign(this, { own: text, up: parent, kind }) }
  type () { return this.kind }
  name () { return this.kind }
  text () { return this.own }
  parent () { return this.up }
  toString () { return this.kind === 'comment' ? `<!--${this.own}-->` : escaped(this.own) }
  toJSON () { return this.toString() }
}

class Attr {
  constructor (name, value, parent) { Object.assign(this, { key: name, own: value, up: parent }) }
  name () { return this.key.replace(/^.*:/, '') }
  value () { return this.own }
  text () { return this.own }
  parent () { return this.up }
  toString () { return ` ${this.key}="${escaped(this.own)}"` }
  toJSON () { return this.own }
}

class Element {
  constructor (node, document, parent) {
    Object.assign(this, { tag: node.name, document, up: parent })
    this.own = Object.entries(node.attributes).filter(([k]) => !/^xmlns(:|$)/.test(k)).map(([k, v]) => new Attr(k, v, this))
    this.nodes = []
    for (const child of node.children) {
      const last = this.nodes[this.nodes.length - 1]
      if (typeof child === 'string' && last && last.kind === 'text') last.own += child
      else this.nodes.push(typeof child === 'string' ? new Text(child, this) : 'comment' in child ? new Text(child.comment, this, 'comment') : new Element(child, document, this))
    }
  }

  type () { return 'element' }
  name () { return this.tag.replace(/^.*:/, '') }
  text () { return this.nodes.filter(n => n.kind !== 'comment').map(n => n.text()).join('') }
  attr (name) { return this.own.find(a => a.key === name || a.name() === name) || null }
  attrs () { return this.own }
  childNodes () { return this.nodes }
  child (i) { return this.nodes[i] || null }
  parent () { return this.up || this.document }
  doc () { return this.document }
  elements () { return this.nodes.filter(n => n instanceof Element) }
  all () { return this.elements().flatMap(e => [e, ...e.all()]) }
  get (xpath) { return this.find(xpath)[0] || null }
  find (xpath) { return select(this, this.document, xpath) }
  toString () { return `<${this.tag}${this.own.join('')}>${this.nodes.join('')}</${this.tag}>` }
  toJSON () { return this.toString() }
}

class Document {
  constructor (tree, run) { Object.assign(this, { run, errors: [], validationErrors: [], top: new Element(tree, this, null) }) }
  root () { return this.top }
  type () { return 'document' }
  encoding () { return 'UTF-8' }
  version () { return '1.0' }
  childNodes () { return this.top.childNodes() }
  child (i) { return this.top.child(i) }
  get (xpath) { return this.find(xpath)[0] || null }
  find (xpath) { return select(null, this, xpath) }
  toString () { return `<?xml version="1.0" encoding="UTF-8"?>\n${this.top}\n` }
  toJSON () { return this.toString() }
}

// select knows the XPath that snippets use: steps by name or *, // for any depth, [n], @attribute, text().
function select (from, document, xpath) {
  if (!/^\.?(\/\/|\/)?([\w:*.@()-]+(\[\d+\])?(\/\/|\/)?)+$/.test(xpath)) document.run.missing(`the XPath ${xpath} is more than can be tried`)
  let found = [from && !xpath.startsWith('/') ? from : { elements: () => [document.top], all: () => [document.top, ...document.top.all()] }]
  for (const [, deep, step, , at] of xpath.replace(/^\.(?=\/)/, '').matchAll(/(\/\/|\/)?([\w:*.@()-]+)(\[(\d+)\])?/g)) {
    if (step === '.') continue
    if (step === '..') found = found.map(e => e.parent())
    else if (step.startsWith('@')) found = (deep === '//' ? found.flatMap(e => e.all()) : found).map(e => e.attr(step.slice(1))).filter(Boolean)
    else if (step === 'text()') found = found.flatMap(e => e.childNodes().filter(n => n.kind === 'text'))
    else {
      found = found.flatMap(e => (deep === '//' ? e.all() : e.elements()).filter(c => step === '*' || c.tag === step || c.name() === step))
      if (at) found = found.slice(at - 1, at)
    }
  }
  return [...new Set(found)]
}

// parse asks the real parser.
function parse (run, xml, options = {}) {
  if (typeof xml !== 'string' && !Buffer.isBuffer(xml)) throw new TypeError('argument must be a string or a buffer')
  for (const key of ['flags', 'xinclude']) if (options && options[key]) run.missing(`the option ${key} can't be tried`)
  const order = Buffer.isBuffer(xml) ? { hex: xml.toString('hex') } : { xml }
  const got = ask({ ...order, options: options || {} })
  run.state.opened.push(...got.opened, ...got.hits)
  if (got.error && !(options && options.recover && got.root)) throw new Error(got.error)
  return new Document(got.root, run)
}

const library = run => {
  const parseXml = (xml, options) => parse(run, xml, options)
  const no = name => () => run.missing(`libxmljs.${name} can't be tried`)
  return {
    parseXml, parseXmlString: parseXml, parseXmlAsync: async (xml, options) => parseXml(xml, options), parseHtml: no('parseHtml'), parseHtmlString: no('parseHtmlString'),
    SaxParser: no('SaxParser'), SaxPushParser: no('SaxPushParser'), Document, Element, version: '0'
  }
}

exports.modules = (name, run) => {
  if (/^libxmljs2?$/.test(name)) return { value: Object.assign(library(run), { default: library(run) }) }
  if (/^(xml2js|xmldom|@xmldom\/xmldom|fast-xml-parser|xml-js|sax|node-expat|jsdom|libxslt)$/.test(name)) run.missing(`${name} is not in the sandbox, so what it makes of entities can't be tried: libxmljs can`)
}

exports.roles = (name, run) => {
  if (/^libxml(js2?)?$/.test(name)) return { value: library(run) }
}

// skeleton is a document with the elements and attributes that snippets look for. What is looked for from the root on stands
// below it; what is looked for from any element stands below the root and in each of the others.
function skeleton (...snippets) {
  const source = snippets.map(s => s.source).join('\n')
  const paths = [...source.matchAll(/\.(?:get|find|child)\(\s*['"`]([^'"`]+)['"`]/g)].map(m => m[1].replace(/\[[^\]]*\]/g, ''))
  const attributes = [...source.matchAll(/\.attr\(\s*['"`]([\w-]+)['"`]|\/@([\w-]+)/g)].map(m => m[1] || m[2])
  const names = [...source.matchAll(/(?<!root\(\)\.|root\.)name\(\)\s*[!=]==?\s*['"`]([\w-]+)/g)].map(m => m[1])
  const tag = /root(?:\(\))?\.name\(\)\s*[!=]==?\s*['"`]([\w-]+)/.exec(source)
  const absolute = paths.find(p => /^\/\w/.test(p))
  const root = absolute ? absolute.split('/')[1] : tag ? tag[1] : 'root'
  const fields = new Map()
  for (const path of [...paths, ...names]) {
    const steps = path.split('/').filter(s => /^[\w-]+$/.test(s))
    if (steps[0] === root) steps.shift()
    if (steps.length && !fields.has(steps.join('/'))) fields.set(steps.join('/'), !path.startsWith('/'))
  }
  const given = [...new Set(attributes)].map(a => ` ${a}="value"`).join('')
  const leaf = (field, content) => field.split('/').reduceRight((inner, name) => `<${name}${given}>${inner}</${name}>`, content)
  const anywhere = [...fields.keys()].filter(f => fields.get(f))
  const build = content => [...fields.keys()].map(f => leaf(f, content + anywhere.filter(a => a !== f).map(a => leaf(a, content)).join(''))).join('') || content
  return { root, body: (content, more = '') => `<${root}${given}${more}>${build(content)}</${root}>` }
}

async function attempt (snippet, value, control) {
  fs.mkdirSync(vault, { recursive: true })
  fs.writeFileSync(path.join(vault, 'secret.txt'), secret)
  fs.writeFileSync(path.join(vault, 'evil.dtd'), `<!ENTITY e SYSTEM "file://${vault}/secret.txt">`)
  const state = { opened: [] }
  const outcome = await snippet.run(value, { control, state })
  const shown = JSON.stringify([outcome.values, outcome.called, outcome.sent, outcome.declared], (_, v) => v instanceof Error || typeof v === 'bigint' ? '' : v) || ''
  return { outcome, state, shown: shown.replace(/\\"/g, '"').replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&') }
}

exports.attack = async (pair, payloads) => {
  const { root, body } = skeleton(pair.target, pair.affected)
  for (const payload of payloads) {
    const text = (payload['utf-16'] || payload).replace(/(<!doctype\s+)r\b/i, `$1${root}`).replace(/<r>(.*?)<\/r>/, (_, content) => body(content))
    const value = payload['utf-16'] ? Buffer.from('\ufeff' + text, 'utf16le') : text
    const got = await attempt(pair.target, value, !!payload['utf-16'])
    if (got.state.opened.length || got.shown.includes(secret)) return text
    if (payload['utf-16']) await attempt(pair.target, text)
  }
}

exports.benign = async (pair, { before = '', attributes = '', content, marks }) => {
  const value = before + skeleton(pair.affected).body(content, attributes)
  const was = await attempt(pair.affected, value, true)
  if (was.outcome.error || !was.outcome.used) throw new Error(`the vulnerable snippet can't read ${value}: ${was.outcome.fault || (was.outcome.error && was.outcome.error.message) || 'it takes no input'}`)
  const is = await attempt(pair.target, value)
  if (!is.outcome.proper) throw new Error(is.outcome.fault)
  if (is.outcome.error) throw is.outcome.error
  const lost = marks.filter(m => was.shown.includes(m) && !is.shown.includes(m))
  if (lost.length) throw new Error(`of ${value}, ${lost.join(' and ')} is lost`)
  const plain = got => JSON.stringify(got.outcome.values.filter(v => /^(boolean|number|string)$/.test(typeof v)))
  if (!marks.some(m => was.shown.includes(m)) && plain(was) !== plain(is)) throw new Error(`of ${value} it makes ${plain(is)} instead of ${plain(was)}`)
}
