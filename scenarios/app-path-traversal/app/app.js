'use strict'
// A handbook: published pages to read and to download, and drafts that an editor can write and read back.
const fs = require('fs/promises')
const http = require('http')
const path = require('path')

const PUBLIC = path.join(__dirname, 'public')
const DRAFTS = path.join(__dirname, 'drafts')

// locate is the file of a folder that a reader names.
function locate (folder, name) {
  return path.join(folder, name)
}

// read resolves to a page; a folder stands for its index.
async function read (folder, name) {
  const file = locate(folder, name)
  const stat = await fs.stat(file)
  return fs.readFile(stat.isDirectory() ? path.join(file, 'index.txt') : file)
}

async function download (name) {
  return fs.readFile(path.resolve(PUBLIC, name))
}

async function write (name, text) {
  const file = locate(DRAFTS, name)
  await fs.mkdir(path.dirname(file), { recursive: true })
  await fs.writeFile(file, text)
}

// list resolves to the names of all published pages, relative to their folder.
async function list (folder = PUBLIC) {
  const names = []
  for (const entry of await fs.readdir(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) names.push(...await list(file))
    else names.push(path.relative(PUBLIC, file))
  }
  return names.sort()
}

async function body (req) {
  let text = ''
  for await (const part of req) text += part
  return text
}

// split takes the path apart by hand: URL would resolve the dots in it, and a page's name may well hold some.
function split (target) {
  const [pathname, query = ''] = target.split('?')
  const [, section, ...rest] = pathname.split('/')
  return { section, name: decodeURIComponent(rest.join('/')), query: new URLSearchParams(query) }
}

async function answer (req) {
  const { section, name, query } = split(req.url)
  if (req.method === 'GET' && section === 'pages' && !name) return { status: 200, text: (await list()).join('\n') }
  if (req.method === 'GET' && section === 'pages') return { status: 200, text: await read(PUBLIC, name) }
  if (req.method === 'GET' && section === 'drafts') return { status: 200, text: await read(DRAFTS, name) }
  if (req.method === 'PUT' && section === 'drafts') {
    await write(name, await body(req))
    return { status: 201, text: `written: ${name}` }
  }
  if (req.method === 'GET' && section === 'download') {
    const file = query.get('file') || 'index.txt'
    const disposition = `attachment; filename="${encodeURIComponent(path.basename(file))}"`
    return { status: 200, text: await download(file), headers: { 'Content-Disposition': disposition } }
  }
  return { status: 404, text: 'not found' }
}

const refusals = { ENOENT: 404, EISDIR: 404, ENOTDIR: 404, EACCES: 403 }

http.createServer(async (req, res) => {
  const { status, text, headers } = await answer(req).catch(err => ({ status: refusals[err.code] || 400, text: err.message }))
  res.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers })
  res.end(text)
}).listen(8080, '127.0.0.1')
