'use strict'
// What the scripts of this scenario have in common: a partner's web server on its listed address, and a request to the
// newsletter tool.
const http = require('http')

// partner serves pages: path to {status, headers, body}. It resolves to the list of requests seen so far.
exports.partner = pages => new Promise((resolve, reject) => {
  const seen = []
  const server = http.createServer((req, res) => {
    let text = ''
    req.on('data', part => { text += part })
    req.on('end', () => {
      seen.push({ method: req.method, path: req.url, text })
      const page = pages[req.url] || { status: 404 }
      res.writeHead(page.status || 200, page.headers)
      res.end(page.body)
    })
  })
  server.on('error', reject)
  server.listen(9200, '127.0.0.1', () => resolve(seen))
})

exports.ask = async (t, method, path, query = {}) => {
  const res = await t.request({ method, path: `${path}?${new URLSearchParams(query)}` })
  return { status: res.status, value: JSON.parse(res.body) }
}
