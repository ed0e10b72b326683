'use strict'
// What can be told of a snippet by its text: which names it declares, how it uses one, how a module's import reads as
// a require. Only a scanner: the engine parses.

// mask returns the source with the contents of strings, templates, comments and regular expressions blanked, so that
// offsets stay and braces count.
function mask (source) {
  const out = source.split('')
  const blank = (from, to) => { for (let i = from; i < to; i++) if (out[i] !== '\n') out[i] = ' ' }
  let i = 0
  let last = '' // the last significant character
  let word = ''
  const skipTemplate = at => { // at the backtick; returns the index behind the closing one
    let j = at + 1
    while (j < source.length && source[j] !== '`') {
      if (source[j] === '\\') j += 2
      else if (source[j] === '$' && source[j + 1] === '{') {
        let depth = 1
        j += 2
        while (j < source.length && depth) {
          if (source[j] === '{') depth++
          else if (source[j] === '}') depth--
          else if (source[j] === '`') { j = skipTemplate(j); continue }
          j++
        }
      } else j++
    }
    return j + 1
  }
  while (i < source.length) {
    const c = source[i]
    if (c === '/' && source[i + 1] === '/') {
      let j = source.indexOf('\n', i)
      if (j < 0) j = source.length
      blank(i, j)
      i = j
      continue
    }
    if (c === '/' && source[i + 1] === '*') {
      let j = source.indexOf('*/', i + 2)
      j = j < 0 ? source.length : j + 2
      blank(i, j)
      i = j
      continue
    }
    if (c === '"' || c === "'") {
      let j = i + 1
      while (j < source.length && source[j] !== c && source[j] !== '\n') j += source[j] === '\\' ? 2 : 1
      blank(i + 1, j)
      i = j + 1
      last = c
      continue
    }
    if (c === '`') {
      const j = skipTemplate(i)
      blank(i + 1, j - 1)
      i = j
      last = c
      continue
    }
    if (c === '/' && (last === '' || '(,=:[!&|?{};+-*%~^<>'.includes(last) || /^(return|typeof|case|in|of|await)$/.test(word))) {
      let j = i + 1
      let set = false
      while (j < source.length && source[j] !== '\n' && (set || source[j] !== '/')) {
        if (source[j] === '\\') j++
        else if (source[j] === '[') set = true
        else if (source[j] === ']') set = false
        j++
      }
      blank(i + 1, j)
      i = j + 1
      last = '/'
      continue
    }
    if (/[\w$]/.test(c)) word = /[\w$]/.test(source[i - 1] || '') ? word + c : c
    else if (!/\s/.test(c)) word = ''
    if (!/\s/.test(c)) last = c
    i++
  }
  return out.join('')
}

// topLevel returns a masked source in which everything inside brackets is blank.
function topLevel (masked) {
  let depth = 0
  return masked.replace(/[\s\S]/g, c => {
    if ('([{'.includes(c)) return depth++ ? ' ' : c
    if (')]}'.includes(c)) return --depth > 0 ? ' ' : c
    return depth > 0 && c !== '\n' ? ' ' : c
  })
}

// declared lists the names that are declared at the top level.
function declared (source) {
  const top = topLevel(mask(source))
  const names = new Set()
  for (const m of top.matchAll(/(?:^|[^.\w$])(?:function\s*\*?|class|const|let|var)\s+([\w$]+)/g)) names.add(m[1])
  return [...names].filter(name => !/^(extends|of|in)$/.test(name))
}

// commonjs rewrites import and export, which only modules may have.
function commonjs (source) {
  const exported = []
  const names = list => list.replace(/\s+as\s+/g, ': ')
  let text = source
    .replace(/^[ \t]*import\s+(['"][^'"]+['"])[ \t]*;?/gm, 'require($1);')
    .replace(/^[ \t]*import\s+\*\s+as\s+([\w$]+)\s+from\s+(['"][^'"]+['"])[ \t]*;?/gm, 'const $1 = require($2);')
    .replace(/^[ \t]*import\s+([\w$]+)\s*,\s*\{([^}]*)\}\s*from\s+(['"][^'"]+['"])[ \t]*;?/gm, (_, d, list, m) => `const ${d} = require(${m}); const {${names(list)}} = require(${m});`)
    .replace(/^[ \t]*import\s+\{([^}]*)\}\s*from\s+(['"][^'"]+['"])[ \t]*;?/gm, (_, list, m) => `const {${names(list)}} = require(${m});`)
    .replace(/^[ \t]*import\s+([\w$]+)\s+from\s+(['"][^'"]+['"])[ \t]*;?/gm, 'const $1 = require($2);')
    .replace(/^[ \t]*export\s+default\s+((?:async\s+)?function\s*\*?|class)\s+([\w$]+)/gm, (_, kind, name) => { exported.push(name); return `${kind} ${name}` })
    .replace(/^[ \t]*export\s+default\s+/gm, 'module.exports = ')
    .replace(/^[ \t]*export\s+((?:async\s+)?function\s*\*?|class|const|let|var)\s+([\w$]+)/gm, (_, kind, name) => { exported.push(name); return `${kind} ${name}` })
    .replace(/^[ \t]*export\s+\{([^}]*)\}[ \t]*;?/gm, (_, list) => `module.exports = {${list.replace(/([\w$]+)\s+as\s+([\w$]+)/g, '$2: $1')}};`)
  if (exported.length) text += `\n;module.exports = {${exported.join(', ')}};`
  return text
}

const stringMembers = new Set([...Object.getOwnPropertyNames(String.prototype), 'length'])
const quote = name => name.replace(/[$]/g, '\\$&')

// members lists what is read of a name: [{name, call}].
function members (source, name) {
  const found = []
  const before = '(?:(?<![\\w$.])|(?<=\\.{3})|(?<=\\bthis\\.))'
  const add = (m, call) => found.push({ name: m, call })
  for (const m of source.matchAll(new RegExp(`${before}${quote(name)}\\s*(?:\\?\\.|\\.)\\s*([A-Za-z_$][\\w$]*)\\s*(\\(?)`, 'g'))) add(m[1], m[2] === '(')
  for (const m of source.matchAll(new RegExp(`${before}${quote(name)}\\s*(?:\\?\\.)?\\[\\s*['"]([^'"\\]]+)['"]\\s*\\]`, 'g'))) add(m[1], false)
  for (const m of source.matchAll(new RegExp(`\\{([^{}]*)\\}\\s*=\\s*(?:await\\s+)?${quote(name)}\\s*(?:;|\\n|$|\\|\\|)`, 'g'))) {
    for (const key of m[1].split(',')) add(key.split(/[:=]/)[0].trim(), false)
  }
  return found
}

// deeper says whether what is read as .name is itself read of: .name.other, where other is nothing that a text has.
function deeper (source, name) {
  for (const m of source.matchAll(new RegExp(`\\.\\s*${quote(name)}\\s*(?:\\?\\.|\\.)\\s*([A-Za-z_$][\\w$]*)`, 'g'))) if (!stringMembers.has(m[1])) return true
  for (const m of source.matchAll(new RegExp(`\\.\\s*${quote(name)}\\s*\\[\\s*['"]`, 'g'))) if (m) return true
  return new RegExp(`\\{[^{}]*\\}\\s*=\\s*(?:await\\s+)?[\\w$.]+\\.${quote(name)}\\s*(?:;|\\n|$|\\|\\|)`).test(source)
}

const asObject = (source, name) => members(source, name).some(m => !stringMembers.has(m.name))

const called = (source, name) => new RegExp(`(?<![\\w$.])${quote(name)}\\s*\\(`).test(mask(source)) &&
  !new RegExp(`function\\s*\\*?\\s*${quote(name)}\\s*\\(`).test(mask(source))

// mentions counts where a name stands, comments left out.
function mentions (source, name) {
  const bare = source.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/(^|[^:'"])\/\/[^\n]*/g, '$1')
  return [...bare.matchAll(new RegExp(`(?<![\\w$])${quote(name)}(?![\\w$])`, 'g'))].length
}

// params lists the parameters of a function or of a class's constructor: {name, optional, pattern, rest}.
function params (fn) {
  let text = Function.prototype.toString.call(fn)
  if (/^class\b/.test(text)) {
    const at = mask(text).search(/\bconstructor\s*\(/)
    if (at < 0) return []
    text = text.slice(at)
  }
  const masked = mask(text)
  const arrow = masked.match(/^\s*(?:async\s+)?([\w$]+)\s*=>/)
  if (arrow) return [{ name: arrow[1], optional: false, pattern: false, rest: false }]
  const open = masked.indexOf('(')
  const list = []
  let depth = 0
  let from = open + 1
  for (let i = open; i < masked.length; i++) {
    const c = masked[i]
    if ('([{'.includes(c)) depth++
    const closes = ')]}'.includes(c) && --depth === 0
    if (closes || (c === ',' && depth === 1)) {
      const one = text.slice(from, i).replace(/\/\*[\s\S]*?\*\//g, '').trim()
      if (one) list.push(param(one))
      from = i + 1
    }
    if (closes) break
  }
  return list
}

function param (text) {
  const pattern = /^[{[]/.test(text)
  return { name: text.replace(/^\.\.\./, '').split('=')[0].trim(), optional: !pattern && /=/.test(text), pattern, rest: text.startsWith('...') }
}

module.exports = { mask, declared, commonjs, members, deeper, asObject, called, mentions, params, stringMembers }
