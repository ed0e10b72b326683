'use strict'
// What the scripts of this scenario have in common: a request to the notebook.
exports.ask = async function ask (t, path, query = {}, options = {}) {
  const res = await t.request({ path: `${path}?${new URLSearchParams(query)}`, ...options })
  return { status: res.status, value: JSON.parse(res.body) }
}
