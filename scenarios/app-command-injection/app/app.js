'use strict'
// A notebook: plain text files that can be written, read, sorted, counted and searched with the system's own tools.
const { exec } = require('child_process')
const fs = require('fs/promises')
const http = require('http')
const path = require('path')

const NOTES = path.join(__dirname, 'notes')

// run resolves to what a command prints, run among the notes. A search without a match ends with status 1.
function run (command) {
  return new Promise((resolve, reject) => {
    exec(command, { cwd: NOTES, timeout: 5000 }, (err, stdout, stderr) => {
      if (err && err.code !== 1) return reject(new Error(stderr || err.message))
      resolve(stdout)
    }).stdin.end()
  })
}

function search (text) {
  return run(`grep -F -i -H "${text}" *`)
}

function sorted (name) {
  return run(`sort "${name}"`)
}

async function count (name) {
  return { words: parseInt(await run(`wc -w "${name}"`), 10) }
}

// note is a name that has been asked for, refused when it isn't the name of a file right among the notes.
function note (name) {
  if (!name || name.startsWith('.') || /[/\0]/.test(name)) throw new Refusal(`no note can be called ${name}`)
  return name
}

class Refusal extends Error {}

function matches (output) {
  return output.split('\n').filter(Boolean).map(line => {
    const colon = line.indexOf(':')
    return { note: line.slice(0, colon), line: line.slice(colon + 1) }
  })
}

async function body (req) {
  let text = ''
  for await (const part of req) text += part
  return text
}

// routes are functions of the query and the request, and resolve to what is sent as JSON.
const routes = {
  'GET /notes': async () => (await fs.readdir(NOTES)).sort(),
  'GET /note': async query => ({ text: await fs.readFile(path.join(NOTES, note(query.get('name'))), 'utf8') }),
  'PUT /note': async (query, req) => {
    const name = note(query.get('name'))
    await fs.writeFile(path.join(NOTES, name), await body(req))
    return { written: name }
  },
  'GET /sorted': async query => ({ text: await sorted(note(query.get('name'))) }),
  'GET /count': async query => count(note(query.get('name'))),
  'GET /search': async query => matches(await search(query.get('q') || ''))
}

async function answer (req) {
  const url = new URL(req.url, 'http://127.0.0.1:8080')
  const route = routes[`${req.method} ${url.pathname}`]
  if (!route) return [404, { error: 'not found' }]
  try {
    return [200, await route(url.searchParams, req)]
  } catch (err) {
    return [err instanceof Refusal ? 400 : 500, { error: err.message }]
  }
}

http.createServer(async (req, res) => {
  const [status, value] = await answer(req)
  res.writeHead(status, { 'Content-Type': 'application/json' })
  res.end(JSON.stringify(value))
}).listen(8080, '127.0.0.1')
