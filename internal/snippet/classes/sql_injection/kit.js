'use strict'
// SQL injection in JavaScript: names that mean a database are handles on a real SQLite (see sqlite.py), in the shapes of
// mysql, mysql2, pg, pg-promise, sqlite3, better-sqlite3, knex.raw and sequelize.query.
const fs = require('fs')
const path = require('path')
const { execFileSync, spawn } = require('child_process')

let pipes

// ask sends a question to SQLite and waits for the answer.
function ask (question) {
  if (!pipes) pipes = connect()
  fs.writeSync(pipes.to, JSON.stringify(question) + '\n')
  let answer = Buffer.alloc(0)
  const part = Buffer.alloc(65536)
  while (!answer.includes(10)) {
    const n = fs.readSync(pipes.from, part)
    if (!n) throw new Error('SQLite is gone')
    answer = Buffer.concat([answer, part.subarray(0, n)])
  }
  return JSON.parse(answer.toString('utf8'))
}

function connect () {
  const dir = fs.mkdtempSync('/tmp/sqlite-')
  const [to, from] = [path.join(dir, 'to'), path.join(dir, 'from')]
  execFileSync('mkfifo', [to, from])
  spawn('python3', ['-I', '-S', path.join(__dirname, 'sqlite.py'), to, from], { stdio: ['ignore', 'ignore', 'inherit'] }).unref()
  return { to: fs.openSync(to, 'w'), from: fs.openSync(from, 'r') }
}

const simple = v => v === undefined ? null : typeof v === 'bigint' ? Number(v) : typeof v === 'boolean' ? Number(v) : v instanceof Date ? v.toISOString() : v
const params = v => v === undefined || v === null ? null : Array.isArray(v) ? v.map(one => Array.isArray(one) ? one.map(simple) : simple(one)) : typeof v === 'object' ? Object.fromEntries(Object.entries(v).map(([k, one]) => [k, simple(one)])) : [simple(v)]

// execute runs one statement and returns rows as objects, or throws as drivers do.
function execute (sql, values, script) {
  const got = ask({ do: 'query', sql: String(sql), params: params(values), script: !!script })
  if (got.error) throw Object.assign(new Error(`SQLITE_ERROR: ${got.error}`), { code: 'SQLITE_ERROR', errno: 1 })
  const rows = got.rows.map(row => Object.fromEntries(got.columns.map((name, i) => [name, row[i]])))
  return { rows, fields: got.columns.map(name => ({ name })), changes: got.changes, last: got.last, reads: got.columns.length > 0 }
}

// escape quotes a value as SQLite wants it.
function escape (value) {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'number' || typeof value === 'boolean') return String(Number(value))
  if (Array.isArray(value)) return value.map(escape).join(', ')
  return "'" + String(value).replace(/'/g, "''") + "'"
}
const escapeId = name => '`' + String(name).replace(/`/g, '``') + '`'

function format (sql, values) {
  const list = Array.isArray(values) ? [...values] : [values]
  return String(sql).replace(/\?\??/g, mark => list.length ? (mark === '??' ? escapeId : escape)(list.shift()) : mark)
}

// arguments of a query in any driver's order: text or {text, sql, values}, then parameters, then a callback.
function read (args) {
  args = [...args]
  const callback = typeof args[args.length - 1] === 'function' ? args.pop() : undefined
  let [sql, ...rest] = args
  if (Array.isArray(sql) && sql.raw) return { sql: sql.join('?'), values: rest, callback } // a tagged template
  if (sql && typeof sql === 'object') { rest = rest.length ? rest : [sql.values || sql.params || sql.bindings || sql.args]; sql = sql.text || sql.sql || sql.query || String(sql) }
  let values = rest.length > 1 && !(rest[0] && typeof rest[0] === 'object') ? rest : rest[0]
  if (values && typeof values === 'object' && !Array.isArray(values)) values = values.replacements || values.bind || (('type' in values || 'raw' in values || 'transaction' in values) ? undefined : values)
  return { sql, values, callback }
}

// handle is a database in every driver's shape. shape says what awaiting a query gives.
function handle (run) {
  const pairs = /(?:const|let|var)\s*\[[^\]]*\]\s*=\s*await/.test(run.source)
  const shaped = got => {
    const rows = got.reads ? got.rows : Object.assign([], { affectedRows: got.changes, insertId: got.last })
    Object.assign(rows, { rowCount: got.reads ? got.rows.length : got.changes, changes: got.changes, lastID: got.last, fields: got.fields })
    Object.defineProperty(rows, 'rows', { value: rows, enumerable: false })
    return pairs ? Object.assign([rows, got.fields], { rows, rowCount: rows.rowCount }) : rows
  }
  const later = (work, callback, give) => {
    let result, error
    try { result = work() } catch (err) { error = err }
    if (callback) setImmediate(() => give(error, result))
    if (!error) return thenable(Promise.resolve(shaped(result)))
    const failed = Promise.reject(error)
    if (callback) failed.catch(() => {})
    return thenable(failed)
  }
  const thenable = promise => Object.assign(promise, { on () { return promise }, stream () { return promise } })
  const query = (...args) => {
    const q = read(args)
    return later(() => execute(q.sql, q.values, !q.values), q.callback, (err, got) => err ? q.callback(err) : q.callback(null, pairs ? got.rows : shaped(got), got.fields))
  }
  const style = pick => (...args) => {
    const q = read(args)
    let got, error
    try { got = execute(q.sql, q.values) } catch (err) { error = err }
    if (q.callback) {
      setImmediate(() => q.callback.call({ lastID: got && got.last, changes: got && got.changes }, error || null, got && pick(got)))
      return db
    }
    return error ? Promise.reject(error) : Promise.resolve(pick(got))
  }
  const rows = got => got.rows
  const first = got => got.rows[0]
  const db = function (table) { return builder(table) }
  Object.assign(db, {
    query, execute: query, raw: query, any: style(rows), many: style(rows), manyOrNone: style(rows), one: style(first), oneOrNone: style(first), none: style(() => null),
    all: style(rows), get: style(first), run: style(got => ({ lastID: got.last, changes: got.changes })),
    each: (...args) => { const done = typeof args[args.length - 2] === 'function' ? args.pop() : undefined; const each = args.pop(); return style(rows)(...args).then(list => { for (const row of list) each(null, row); if (done) done(null, list.length) }, err => each(err)) },
    exec: (...args) => { const q = read(args); return later(() => execute(q.sql, null, true), q.callback, (err, got) => q.callback(err, got)) },
    $queryRaw: query, $executeRaw: query, $queryRawUnsafe: (sql, ...v) => query(sql, v), $executeRawUnsafe: (sql, ...v) => query(sql, v),
    prepare: sql => ({
      all: (...v) => execute(sql, flat(v)).rows, get: (...v) => execute(sql, flat(v)).rows[0], run: (...v) => { const c = typeof v[v.length - 1] === 'function' && v.pop(); const got = execute(sql, flat(v)); if (c) setImmediate(() => c(null)); return { changes: got.changes, lastInsertRowid: got.last } },
      iterate: (...v) => execute(sql, flat(v)).rows[Symbol.iterator](), bind (...v) { return db.prepare(format(sql, flat(v))) }, finalize () {}, execute: (...v) => query(sql, flat(v)), pluck () { return this }, raw () { return this }, close () {}
    }),
    escape, escapeId, format, escapeIdentifier: escapeId, escapeLiteral: escape,
    getConnection: callback => typeof callback === 'function' ? void setImmediate(() => callback(null, db)) : Promise.resolve(db),
    connect: callback => typeof callback === 'function' ? void setImmediate(() => callback(null, db, () => {})) : Promise.resolve(db),
    promise: () => db, release () {}, end: c => { if (typeof c === 'function') setImmediate(c); return Promise.resolve() }, close: c => { if (typeof c === 'function') setImmediate(c) }, on () { return db }, serialize: f => f(), parallelize: f => f(),
    beginTransaction: c => c ? setImmediate(c) : Promise.resolve(), commit: c => c ? setImmediate(c) : Promise.resolve(), rollback: c => c ? setImmediate(c) : Promise.resolve(), authenticate: () => Promise.resolve(),
    transaction: f => typeof f === 'function' ? f(db) : Promise.resolve(db), QueryTypes: { SELECT: 'SELECT' }, pragma () {}
  })
  const flat = v => v.length === 1 && v[0] !== null && typeof v[0] === 'object' ? v[0] : v.length ? v : undefined
  for (const start of ['select', 'from', 'table', 'where']) db[start] = (...args) => builder()[start](...args)
  return db
}

// builder is the little of knex that patches use: conditions are bound, raw ones are bound where they ask for it.
function builder (table) {
  const q = { table, columns: [], where: [], values: [], tail: '', first: false }
  const condition = word => (a, b, c) => {
    if (typeof a === 'function') throw new TypeError('nested conditions can\'t be tried here')
    const list = a && typeof a === 'object' ? Object.entries(a).map(([k, v]) => [k, '=', v]) : [c === undefined ? [a, '=', b] : [a, b, c]]
    for (const [name, op, value] of list) {
      if (!/^(=|<|>|<=|>=|<>|!=|like|not like|ilike)$/i.test(op)) throw new Error(`the operator ${op} is not permitted`)
      add(word, `${String(name).split('.').map(escapeId).join('.')} ${op} ?`, [value])
    }
    return api
  }
  const add = (word, sql, values = []) => { q.where.push(`${q.where.length ? word : ''} ${sql}`); q.values.push(...values); return api }
  const run = () => {
    const got = execute(`SELECT ${q.columns.join(', ') || '*'} FROM ${escapeId(q.table)} ${q.where.length ? 'WHERE' + q.where.join(' ') : ''} ${q.tail}`, q.values).rows
    return q.first ? got[0] : got
  }
  const api = {
    select (...names) { q.columns.push(...names.flat().map(n => n === '*' ? n : typeof n === 'object' ? n.sql : escapeId(n))); return api },
    from (name) { q.table = name; return api }, table (name) { q.table = name; return api },
    where: condition('AND'), andWhere: condition('AND'), orWhere: condition('OR'),
    whereRaw: (sql, values = []) => add('AND', sql, [].concat(values)), andWhereRaw: (sql, values = []) => add('AND', sql, [].concat(values)), orWhereRaw: (sql, values = []) => add('OR', sql, [].concat(values)),
    whereIn: (name, list) => add('AND', `${escapeId(name)} IN (${list.map(() => '?').join(', ')})`, list),
    orderBy (name, way) { q.tail += ` ORDER BY ${escapeId(name)} ${/^desc$/i.test(way) ? 'DESC' : 'ASC'}`; return api }, orderByRaw (sql) { q.tail += ` ORDER BY ${sql}`; return api },
    limit (n) { q.tail += ` LIMIT ${Number(n)}`; return api }, first () { q.first = true; return api },
    then: (ok, no) => new Promise((resolve, reject) => { try { resolve(run()) } catch (err) { reject(err) } }).then(ok, no),
    catch: no => api.then(undefined, no)
  }
  return api
}

const database = /^(db|dbh|conn|connection|pool|client|knex|sequelize|database|mysql2?|pg|pgp|sqlite3?|cursor|prisma|tx|trx|session|entityManager|dataSource|sql)$|(Db|DB|Conn|Connection|Pool|Client|Database|_db|_pool|_conn|_client|_connection)$/

exports.roles = (name, run) => {
  if (/^(Op|QueryTypes|Sequelize)$/.test(name)) return { value: { SELECT: 'SELECT', QueryTypes: { SELECT: 'SELECT' } } }
  if (/^(sqlstring|SqlString)$/.test(name)) return { value: { escape, escapeId, format } }
  return database.test(name) && !/^(sql|session|cursor|client)$/.test(name) ? { value: handle(run) } : /^(sql|session|cursor|client)$/.test(name) && new RegExp(`\\b${name}\\s*(\\.\\s*(query|execute|all|get|run|raw|prepare|unsafe)\\b|\`)`).test(run.source) ? { value: handle(run) } : undefined
}

exports.modules = (name, run) => {
  if (/^(mysql|mysql2|mysql2\/promise|pg|pg-promise|sqlite3|sqlite|better-sqlite3|knex|sequelize|mssql|postgres|mariadb|@prisma\/client|typeorm)$/.test(name)) {
    const db = handle(run)
    const make = function () { return db }
    const of = ['createConnection', 'createPool', 'createClient', 'Client', 'Pool', 'Database', 'Sequelize', 'PrismaClient', 'open', 'connect', 'verbose', 'promise']
    return { value: Object.assign(make, db, ...of.map(n => ({ [n]: n === 'verbose' ? () => Object.assign(make) : make })), { default: make }) }
  }
  if (/^(sqlstring|pg-format)$/.test(name)) {
    const pgFormat = (sql, ...v) => String(sql).replace(/%([LIs%])/g, (m, kind) => kind === '%' ? '%' : kind === 'L' ? escape(v.shift()) : kind === 'I' ? escapeId(v.shift()) : String(v.shift()))
    return { value: name === 'pg-format' ? pgFormat : { escape, escapeId, format } }
  }
}

const statement = /^\s*\(?\s*(select|insert|update|delete|replace|with)\b/i

// built finds a statement that the snippet only put together.
function built (value, around) {
  if (typeof value === 'string' && statement.test(value)) return { sql: value, values: around }
  if (Array.isArray(value) && typeof value[0] === 'string' && statement.test(value[0])) return { sql: value[0], values: value[1] }
  if (value && typeof value === 'object' && typeof (value.text || value.sql || value.query) === 'string') return { sql: value.text || value.sql || value.query, values: value.values || value.params || value.parameters || value.bindings || value.replacements || around }
}

// attempt runs a snippet once against a database of its own and says what that saw.
async function attempt (snippet, words, value, control) {
  ask({ do: 'open', source: words })
  const outcome = await snippet.run(value, { control })
  let report = ask({ do: 'report', inputs: [value] })
  if (!report.statements) {
    const lists = Object.entries(outcome.declared).filter(([name, v]) => Array.isArray(v) && /param|value|arg|bind|data/i.test(name)).map(([, v]) => v)
    const found = [...outcome.values, ...Object.values(outcome.declared).reverse()].map(v => built(v, lists[0])).find(Boolean)
    if (found) {
      const values = found.values === undefined && ask({ do: 'placeholders', sql: found.sql }).count ? Array(ask({ do: 'placeholders', sql: found.sql }).count).fill(value) : found.values
      try { execute(found.sql, values, !values) } catch (err) { outcome.errors.push(err); outcome.error = err }
      report = ask({ do: 'report', inputs: [value] })
    }
  }
  if (!report.statements && !outcome.error && !control && outcome.proper) outcome.silent = true
  return { outcome, report }
}

const widths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
const spread = payloads => [].concat(payloads).flatMap(one => one.includes('{columns}') ? widths.map(n => one.replace('{columns}', Array(n).fill('secret').join(', '))) : [one])

// secretly: the row that nobody may see was seen, by its secret or by its number.
const secretly = ({ report }) => report.looted || report.rows.some(row => row.some(v => v === 4242 || String(v).includes(report.secret)))

exports.attack = async ({ target, affected }, payload) => {
  const words = target.source + '\n' + affected.source
  const usual = new Set()
  let open = false // the snippet shows everything to everybody
  for (const value of ['nobody', '1', 'alice', '']) {
    const seen = await attempt(target, words, value, true)
    for (const id of seen.report.seen) usual.add(id)
    open = open || secretly(seen)
  }
  for (const value of spread(payload)) {
    const got = await attempt(target, words, value)
    if (got.report.looted || (!open && (secretly(got) || got.report.seen.some(id => !usual.has(id))))) return value
  }
  return false
}

// delivered is what a snippet's caller gets to see.
const delivered = outcome => JSON.stringify([outcome.values, outcome.sent, outcome.called], (_, v) => v instanceof Error ? { error: v.message } : typeof v === 'bigint' ? Number(v) : v) || ''
const labels = ['alice', "O'Brien", 'Zoë Müller']

exports.benign = async ({ target, affected }, payload) => {
  const words = target.source + '\n' + affected.source
  let compared = false
  let last
  const listed = [...target.source.matchAll(/['"`](\w{1,30})['"`]/g)].map(m => m[1])
  for (const [values, everything] of [[payload.values, false], [listed, true], [payload.names || [], true]]) {
    for (const value of values) {
      const was = last = await attempt(affected, words, value, true)
      if (was.outcome.error || was.report.errors.length || (!was.report.seen.length && !was.report.state && !payload.empty)) continue
      // a word in a number's place may find every row; names of columns do so where they are asked for
      if (secretly(was) !== everything && !was.report.state) continue
      const is = await attempt(target, words, value)
      compared = true
      const why = worse(was, is)
      if (why) throw new Error(`with ${JSON.stringify(value)}: ${why}`)
    }
    if (compared) return
  }
  throw new Error(`the vulnerable snippet does nothing useful with any of ${JSON.stringify(payload.values)}: ${(last.outcome.error && last.outcome.error.message) || last.outcome.fault || 'no rows are found'}`)
}

function worse (was, is) {
  if (!is.outcome.proper) return is.outcome.fault
  if (is.outcome.error) return `${is.outcome.error.message || is.outcome.error}`
  if (is.report.errors.length) return is.report.errors[0]
  const [a, b] = [was.report.seen, is.report.seen].map(list => JSON.stringify(list))
  if (a !== b) return `the rows ${b} are found instead of ${a}`
  if (was.report.state && !same(was.report.state, is.report.state || {})) return 'other data are written'
  const lost = labels.find(label => delivered(was.outcome).includes(label) && !delivered(is.outcome).includes(label))
  if (lost) return `the row of ${lost} is found and not delivered`
}

// same compares what was written, as far as both databases have the same columns.
function same (a, b) {
  return Object.keys(a).every(table => b[table] && a[table].length === b[table].length && a[table].every((row, i) => Object.keys(row).every(name => !(name in b[table][i]) || row[name] === b[table][i][name])))
}
