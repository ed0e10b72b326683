'use strict'
// A photo wall: visitors upload photos, and everybody sees the list and the photos.
const fs = require('fs/promises')
const http = require('http')
const path = require('path')

const PUBLIC = path.join(__dirname, 'public')
const UPLOADS = path.join(__dirname, 'uploads')
const MAX_BYTES = 1 << 20

const types = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.svg': 'image/svg+xml',
  '.html': 'text/html; charset=utf-8',
  '.htm': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.txt': 'text/plain; charset=utf-8'
}

const photos = []

class Refusal extends Error {
  constructor (status, message) {
    super(message)
    this.status = status
  }
}

async function body (req) {
  const parts = []
  let size = 0
  for await (const part of req) {
    size += part.length
    if (size <= MAX_BYTES) parts.push(part)
  }
  if (size > MAX_BYTES) throw new Refusal(413, 'that is too large')
  return Buffer.concat(parts)
}

// file takes the first file out of a multipart body: its name, its declared type and its bytes.
function file (contentType, data) {
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)"?/i.exec(contentType || '')
  if (!boundary) throw new Refusal(415, 'a form with a photo, please')
  const delimiter = `--${boundary[1]}`
  const start = data.indexOf(delimiter)
  const head = data.indexOf('\r\n\r\n', start)
  const end = data.indexOf(`\r\n${delimiter}`, head)
  if (start < 0 || head < 0 || end < 0) throw new Refusal(400, 'the form is cut off')
  const header = data.toString('utf8', start, head)
  const name = /filename="([^"]*)"/i.exec(header)
  const type = /content-type:\s*(\S+)/i.exec(header)
  if (!name || !name[1]) throw new Refusal(400, 'the form holds no file')
  return { name: name[1], type: type ? type[1].toLowerCase() : '', data: data.subarray(head + 4, end) }
}

// store keeps a photo and resolves to its title and its address.
async function store (photo) {
  const name = photo.name
  await fs.writeFile(path.join(UPLOADS, name), photo.data)
  const kept = { title: photo.name, url: `/uploads/${encodeURIComponent(name)}` }
  photos.push(kept)
  return kept
}

// send answers with a file; its type follows from its name.
async function send (res, folder, name) {
  if (name !== path.basename(name)) throw new Refusal(404, 'not found')
  const data = await fs.readFile(path.join(folder, name)).catch(() => { throw new Refusal(404, 'not found') })
  res.writeHead(200, { 'Content-Type': types[path.extname(name).toLowerCase()] || 'application/octet-stream' })
  res.end(data)
}

function json (res, status, value) {
  res.writeHead(status, { 'Content-Type': 'application/json' })
  res.end(JSON.stringify(value))
}

async function answer (req, res) {
  const { pathname } = new URL(req.url, 'http://127.0.0.1:8080')
  if (req.method === 'POST' && pathname === '/photos') {
    return json(res, 201, await store(file(req.headers['content-type'], await body(req))))
  }
  if (req.method !== 'GET') throw new Refusal(405, 'not allowed')
  if (pathname === '/photos') return json(res, 200, photos)
  if (pathname.startsWith('/uploads/')) return send(res, UPLOADS, decodeURIComponent(pathname.slice('/uploads/'.length)))
  return send(res, PUBLIC, pathname === '/' ? 'index.html' : decodeURIComponent(pathname.slice(1)))
}

http.createServer((req, res) => answer(req, res).catch(err => json(res, err.status || 500, { error: err.message })))
  .listen(8080, '127.0.0.1')
