'use strict'
// What the scripts of this scenario have in common: uploading a file as a browser's form does, fetching it again, and
// knowing whether a browser would run what it got.
const WALL = 'http://127.0.0.1:8080'

exports.PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4ISICAAKYAPGnS6cQAAAAAElFTkSuQmCC', 'base64')
exports.SCRIPT = '<script>crisol()</script>'

exports.upload = async (name, type, data) => {
  const form = new FormData()
  form.append('photo', new Blob([data], { type }), name)
  const res = await fetch(`${WALL}/photos`, { method: 'POST', body: form })
  return { status: res.status, value: await res.json() }
}

const get = exports.get = async path => {
  const res = await fetch(WALL + path)
  return { status: res.status, headers: res.headers, data: Buffer.from(await res.arrayBuffer()) }
}

// runs tells whether a visitor who opens the address of an upload runs the script in it: a document type that executes,
// or none at all, which is guessed from the content; unless it is only to be saved, or is shown without scripts.
exports.runs = async upload => {
  if (upload.status !== 201) return false
  const { status, headers, data } = await get(upload.value.url)
  const type = headers.get('content-type') || ''
  const executes = /^(text\/html|application\/xhtml\+xml|image\/svg\+xml|(text|application)\/xml|$)/i.test(type)
  const held = /^attachment/i.test(headers.get('content-disposition') || '') ||
    /sandbox(?![^;]*allow-scripts)|(script|default)-src\s+'none'/i.test(headers.get('content-security-policy') || '')
  return status === 200 && executes && !held && data.includes('crisol()')
}
