"""The shelves of models on the Start page: samples, torchvision, timm, your own; and a search over all of them."""

from __future__ import annotations

import streamlit as st

from prunekit import models
from prunekit.errors import PrunekitError
from prunekit.models.entries import ModelEntry
from prunekit.models.zoos import timm_installed
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.start import gallery
from prunekit.ui.state import session
from prunekit.ui.state.uploads import MOST_FILES, SUFFIXES, uploads

NAMES = {"sample": "Sample models", "torchvision": "torchvision", "timm": "timm", "own": "Your own"}
LIBRARIES = {
    "torchvision": "classifiers",
    "timm": "models, the names of all that it can build",
}
MOST_FOUND = 12


def pick() -> str:
    """Show the choice of shelf and the search over all of them, and return the shelf; empty while somebody searches."""
    now = session.settings()
    shelves = [name for name in NAMES if name != "timm" or timm_installed()]
    home = "own" if now.upload else gallery.shelf_of(now.model)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        chosen = st.segmented_control(
            "Models", shelves, format_func=NAMES.__getitem__, required=True, label_visibility="collapsed",
            **session.bind(
                "shelf", start="default", show=lambda shelf: shelf if shelf in shelves else home,
                take=lambda shelf: "" if shelf == home else shelf,
            ),
        )  # fmt: skip
        wanted = st.text_input(
            "Find a model by its name", key="find_model", placeholder="Find a model by its name", label_visibility="collapsed",
            icon=":material/search:", width=260, max_chars=60,
        )  # fmt: skip
    if wanted.strip():
        _found(wanted)
        return ""
    return str(chosen)


def _found(wanted: str) -> None:
    """List the models of all shelves whose name, title or task holds every word of the search."""
    words = wanted.lower().split()
    entries = [entry for entry in models.list_models(*NAMES) if all(word in _text(entry) for word in words)]
    if not entries:
        show.empty("No model is called so. An architecture of your own is named when prunekit starts: see **Your own**.", "search_off")
        return
    now = session.settings()
    for entry in entries[:MOST_FOUND]:
        name = model_cache.public_name(entry)
        used = now.model == name and not now.upload
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{show.plain(entry.title)}** · {NAMES[entry.kind]} · :gray[{show.plain(entry.task)}]", width="stretch")
            st.button("In use" if used else "Use", key=f"found_{name}", disabled=used, on_click=_take_found, args=(name,))
    if entries[MOST_FOUND:]:
        st.caption(f"{len(entries) - MOST_FOUND:,} more have it in their names: a longer word finds fewer.")


def _text(entry: ModelEntry) -> str:
    """Return what a search looks through."""
    return f"{entry.name if entry.kind != 'own' else ''} {entry.title} {entry.task} {NAMES[entry.kind]}".lower()


def _take_found(name: str) -> None:
    """Take a model that was found, and end the search; a button's callback."""
    st.session_state["find_model"] = ""
    gallery.choose(name)
    session.change(shelf="")


def samples() -> None:
    """Show the samples as cards."""
    gallery.cards(models.list_models("sample"))


def packaged(kind: str) -> None:
    """Show every model of a library in one box, and say what its weights are."""
    now = session.settings()
    names = [entry.name for entry in models.list_models(kind)]
    in_use = now.model in names and not now.upload
    key, switch = f"pick_{kind}", "pick_pretrained"
    downloads = kind == "torchvision"
    _mirror(key, now.model if in_use else None)
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.selectbox(
        f"Architecture, {len(names):,} {LIBRARIES[kind]}", names, index=None, key=key, placeholder="Choose an architecture",
        format_func=lambda name: name.partition("/")[2], on_change=_take_library, args=(key, switch),
    )  # fmt: skip
    if downloads:
        _mirror(switch, now.pretrained and in_use)
        right.toggle("Trained weights (downloads them)", key=switch, on_change=_take_library, args=(key, switch), disabled=not in_use)
    if downloads and now.pretrained and in_use:
        st.caption(
            "Weights trained on ImageNet, downloaded once. Accuracy can be measured on image folders that were registered at launch."
        )
    else:
        st.caption(
            "**Random weights, fixed seed**: the same model on every machine. Structure, size, MACs and latency are real; there is no "
            "accuracy to lose. Good for looking at layers, at what shrinks together and at speed."
        )


def _mirror(key: str, value: object) -> None:
    """Show what is in use, whoever chose it."""
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _take_library(key: str, switch: str) -> None:
    """Take the picked architecture."""
    name = st.session_state.get(key)
    if name:
        gallery.choose(str(name), pretrained=bool(st.session_state.get(switch)) and key == "pick_torchvision")


def own() -> None:
    """Show the models registered at launch, and the upload of a checkpoint."""
    entries = models.list_models("own")
    if entries:
        gallery.cards(entries)
        with st.container(border=True):
            _upload()
        return
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        _none_named()
    with right, st.container(border=True, height="stretch"):
        _upload()


def _none_named() -> None:
    """Say how models of one's own get here."""
    st.markdown("**Models named at launch**")
    st.caption("None yet. Your own architecture is a function that returns a torch module; name it when you start:")
    st.code(
        "prunekit app --model path/to/net.py:make_net --weights net.safetensors --data imagefolder:path/to/images",
        language=None,
        wrap_lines=True,
    )
    st.caption("A folder of Hugging Face is named as hf:path/to/folder.")


def _upload() -> None:
    """Take the weights of a known architecture as a file."""
    st.markdown("**Upload weights of a known architecture**")
    if rules.active():
        st.caption("Uploads are off in a class.")
        return
    now = session.settings()
    names = [model_cache.public_name(entry) for entry in models.list_models()]
    missing = bool(now.upload) and uploads().get(now.upload) is None
    if missing:
        st.warning(
            "The weights that this address speaks of are not on this server. Upload the same file again.", icon=":material/upload_file:"
        )
    start = names.index(now.model) if now.upload and now.model in names else None
    name = st.selectbox("Architecture", names, index=start, key="upload_architecture", placeholder="Choose the architecture first")
    file = st.file_uploader(
        "Checkpoint", type=list(SUFFIXES), key="upload_file",
        help=f"Tensors only: a file that holds code is refused. Kept in memory by its fingerprint, the latest {MOST_FILES} files.",
    )  # fmt: skip
    if file is not None and name is None:
        st.info(f"{show.plain(file.name)} is here. Choose the architecture above whose weights it holds.", icon=":material/arrow_upward:")
        return
    if file is None or name is None:
        st.caption("A state dict as .safetensors, .pt, .pth or .th. Never a script, never a path on this machine.")
        return
    try:
        key = uploads().put(file.name, file.getvalue())
        model_cache.load(Source(name, upload=key))
    except PrunekitError as error:
        st.error(show.said(error), icon=":material/error:")
        return
    if (now.model, now.upload) == (name, key):
        st.caption(f"✓ In use: {show.plain(file.name)}, fingerprint {key}.")
    else:
        st.button(f"Use {file.name}", key="use_upload", type="primary", on_click=_use_upload, args=(name, key))


def _use_upload(name: str, key: str) -> None:
    """Take an uploaded model."""
    gallery.choose(name, upload=key)
