"""Pages in the browser: one painter of boards, one theme, one set of DOM helpers.

The files of this folder are shared; a folder of `pages` holds what only one page needs. A page is
served (`server`, the only module that needs the extra `web`) or written as one file that opens
without a server (`assets.single_page`).

Imports: base.
"""
